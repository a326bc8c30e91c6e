"""Test that memory, open files and threads do not grow in a run of half an hour with all its actions.

`SAGAN_TF_SOAK_MINUTES` sets the duration in minutes, to which the start of the run is added.
"""

import os
import pathlib
import signal
import statistics
import subprocess
import time
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.training.actions.tensorboard import write_scalars
from tests.faults.processes import read_output, start_training, wait_until

MINUTES = float(os.environ.get("SAGAN_TF_SOAK_MINUTES", "30"))
WARM_UP = 0.2
"""Fraction of the time in which memory may grow. By then, every action has run several times."""
MAX_GROWTH = 1.02
WORK = ["--num_steps=100000000", "--steps_per_loop=10", "--log_every=10", "--sample_every=100", "--checkpoint_every=50"]
WORK += ["--evaluate_every=100", "--extractor=fashion_mnist", "--metrics=fcd,label_agreement", "--num_samples=256"]
WORK += ["--histogram_every=200"]

pytestmark = pytest.mark.skipif(not pathlib.Path("/proc/self/smaps_rollup").exists(), reason="reads Linux's /proc")


class Measurement(NamedTuple):
    """Resident memory, open files and sockets, and threads of a process at a moment."""

    megabytes: float
    files: int
    threads: int


def measure(pid: int) -> Measurement:
    process = pathlib.Path(f"/proc/{pid}")
    status = (process / "status").read_text()
    resident, threads = (int(status.split(f"{name}:")[1].split()[0]) for name in ("VmRSS", "Threads"))
    return Measurement(resident / 1024, len(os.listdir(process / "fd")), threads)


def measure_every_second(process: subprocess.Popen, minutes: float) -> list[Measurement]:
    began = time.monotonic()
    measurements = []
    while time.monotonic() - began < 60 * minutes:
        assert process.poll() is None, f"the process ended with status {process.returncode}"
        measurements.append(measure(process.pid))
        time.sleep(1.0)
    return measurements


def count_evaluations(run_dir: pathlib.Path) -> int:
    try:
        lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return 0
    return sum('"kind": "evaluation"' in line for line in lines)


@pytest.mark.slow
def test_written_scalars_do_not_take_memory(tmp_path):
    """TensorFlow caches tensors of Python numbers, which would take 30 kB for each line, or 70 MB in half an hour."""
    generator = np.random.default_rng(0)
    writer = tf.summary.create_file_writer(str(tmp_path))
    megabytes = []
    for step in range(600):
        if step % 200 == 0:
            megabytes.append(measure(os.getpid()).megabytes)
        write_scalars(writer, step, {f"{name}": generator.random() for name in range(50)})
    writer.close()
    growth = measure(os.getpid()).megabytes - megabytes[1]  # By then, everything that is needed once is allocated.
    assert growth < 3.0, f"{growth:.1f} MB for 400 lines"


@pytest.mark.slow
def test_memory_files_and_threads_do_not_grow(tmp_path):
    run_dir = tmp_path / "run"
    with start_training(run_dir, *WORK, f"--reference_dir={tmp_path / 'references'}") as process:
        wait_until(lambda: count_evaluations(run_dir) >= 1, process, every=1.0)
        measurements = measure_every_second(process, MINUTES)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143, read_output(run_dir, "err")
    assert count_evaluations(run_dir) >= 2 and len(list((run_dir / "samples").iterdir())) >= 2
    settled = measurements[int(len(measurements) * WARM_UP) :]
    tenth = max(1, len(settled) // 10)
    for name, max_growth in (("megabytes", MAX_GROWTH), ("files", 1.0), ("threads", 1.0)):
        before, after = (
            statistics.median(getattr(measurement, name) for measurement in part)
            for part in (settled[:tenth], settled[-tenth:])
        )
        assert after <= max_growth * before, f"{before:g} {name} grew to {after:g}"
