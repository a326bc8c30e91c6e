"""Trainings in processes of their own, as users start them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).parents[2]
SMALL = ("--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", "--attention_resolutions=16")
SMALL += ("--base_channels=2", "--global_batch_size=8", "--strategy=one_device", "--loss=wasserstein")
SMALL += ("--architecture=dcgan",)
"""Flags of a run that is traced fast and whose steps take hundredths of a second; its checkpoints have 0.5 MB. With the
hinge loss its first steps would not depend on the images."""


@contextlib.contextmanager
def training(run_dir: pathlib.Path, *flags: str, begin: Callable[[], None] | None = None) -> Iterator[subprocess.Popen]:
    """A training in a process of its own, which does not outlive the context; what it says goes to `said(run_dir)`.

    Args:
        run_dir: where it trains.
        *flags: beside `SMALL`.
        begin: called in the new process before anything else.
    """
    command = [sys.executable, "-m", "sagan_tf.train", *SMALL, f"--run_dir={run_dir}", *flags]
    # Without what tests/conftest.py has set for this process: a user has not.
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    with _log(run_dir, "out").open("w") as out, _log(run_dir, "err").open("w") as err:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=err, preexec_fn=begin)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def train_to_the_end(
    run_dir: pathlib.Path, *flags: str, begin: Callable[[], None] | None = None, seconds: float = 240
) -> int:
    """Runs a training until it ends by itself; returns its exit status."""
    with training(run_dir, *flags, begin=begin) as process:
        return process.wait(seconds)


def said(run_dir: pathlib.Path, where: str = "out") -> str:
    """What the last training in this folder has written on standard output or, `err`, on standard error."""
    return _log(run_dir, where).read_text(encoding="utf-8")


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen, seconds: float = 240, every: float = 0.02
) -> None:
    """Waits for something that a process does; fails if that ends before, or takes longer than `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"it ended with status {process.returncode}"
        assert time.monotonic() < end, f"it did not happen within {seconds} s"
        time.sleep(every)


def _log(run_dir: pathlib.Path, where: str) -> pathlib.Path:
    """Beside the folder: not in it, where it may be what fills the disk."""
    return run_dir.with_name(f"{run_dir.name}.{where}")
