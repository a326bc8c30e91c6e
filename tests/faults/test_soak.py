"""A run for half an hour, with all that it does beside training: memory, open files and threads stay as they were.

`SAGAN_TF_SOAK_MINUTES` sets how long; it takes that and a start.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import signal
import statistics
import subprocess
import time

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.training.actions.tensorboard import write_scalars
from tests.faults.processes import said, training, wait_until

MINUTES = float(os.environ.get("SAGAN_TF_SOAK_MINUTES", "30"))
WARM_UP = 0.2
"""Share of the time in which memory may grow: all kinds of work have been done several times by then."""
MOST_GROWTH = 1.02
WORK = ("--num_steps=100000000", "--steps_per_loop=10", "--log_every=10", "--sample_every=100", "--checkpoint_every=50")
WORK += ("--evaluate_every=100", "--extractor=fashion_mnist", "--metrics=fcd,label_agreement", "--num_samples=256")
WORK += ("--histogram_every=200",)

pytestmark = pytest.mark.skipif(not pathlib.Path("/proc/self/smaps_rollup").exists(), reason="reads Linux's /proc")


@dataclasses.dataclass(frozen=True)
class Look:
    """What a process has at a moment.

    Attributes:
        seconds: since the first look.
        megabytes: resident memory.
        files: open files, sockets and the like.
        threads: of the process.
    """

    seconds: float
    megabytes: float
    files: int
    threads: int


def look_at(pid: int, began: float) -> Look:
    process = pathlib.Path(f"/proc/{pid}")
    status = (process / "status").read_text()
    resident, threads = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("VmRSS", "Threads"))
    return Look(time.monotonic() - began, resident / 1024, len(os.listdir(process / "fd")), threads)


def watch(process: subprocess.Popen, minutes: float) -> list[Look]:
    """Looks at a process every second."""
    began = time.monotonic()
    looks = []
    while time.monotonic() - began < 60 * minutes:
        assert process.poll() is None, f"it ended with status {process.returncode}"
        looks.append(look_at(process.pid, began))
        time.sleep(1.0)
    return looks


def as_table(looks: list[Look]) -> str:
    """A line a minute."""
    rows = ["minute  MB  files  threads"]
    for minute in range(int(looks[-1].seconds // 60) + 1):
        of_minute = [look for look in looks if look.seconds // 60 == minute]
        if of_minute:
            median = [statistics.median(getattr(look, name) for look in of_minute) for name in ("megabytes", "files")]
            rows.append(f"{minute + 1:6d}  {median[0]:.1f}  {median[1]:g}  {of_minute[-1].threads}")
    return "\n".join(rows)


def evaluations(run_dir: pathlib.Path) -> int:
    try:
        lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return 0
    return sum('"kind": "evaluation"' in line for line in lines)


def test_numbers_that_are_written_are_not_kept(tmp_path: pathlib.Path) -> None:
    """TensorFlow keeps what it makes of Python's numbers: 30 kB for each line of a run, 70 MB in half an hour."""
    generator = np.random.default_rng(0)
    writer = tf.summary.create_file_writer(str(tmp_path))
    megabytes = []
    for step in range(600):
        if step % 200 == 0:
            megabytes.append(look_at(os.getpid(), 0.0).megabytes)
        write_scalars(writer, step, {f"{name}": generator.random() for name in range(50)})
    writer.close()
    growth = look_at(os.getpid(), 0.0).megabytes - megabytes[1]  # by then whatever is needed once is there
    assert growth < 3.0, f"{growth:.1f} MB for 400 lines"


@pytest.mark.slow
def test_memory_and_open_files_stay_as_they_were(tmp_path: pathlib.Path) -> None:
    run_dir = tmp_path / "run"
    with training(run_dir, *WORK, f"--reference_dir={tmp_path / 'references'}") as process:
        wait_until(lambda: evaluations(run_dir) >= 1, process, every=1.0)
        looks = watch(process, MINUTES)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143, said(run_dir, "err")
    table = as_table(looks)
    print(table)
    assert evaluations(run_dir) >= 2 and len(list((run_dir / "samples").iterdir())) >= 2
    settled = looks[int(len(looks) * WARM_UP) :]
    tenth = max(1, len(settled) // 10)
    first, last = settled[:tenth], settled[-tenth:]
    before, after = (statistics.median(look.megabytes for look in part) for part in (first, last))
    assert after <= MOST_GROWTH * before, f"{before:.1f} MB grew to {after:.1f}\n{table}"
    for name in ("files", "threads"):
        before, after = (statistics.median(getattr(look, name) for look in part) for part in (first, last))
        assert after <= before, f"{before:g} {name} grew to {after:g}\n{table}"
