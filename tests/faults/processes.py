"""Training in processes of its own, as users start it."""

import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator

from tests import waiting
from tests.training.tiny import PLAINEST_FLAGS, RUN_FLAGS

ROOT = pathlib.Path(__file__).parents[2]
SMALL = (*RUN_FLAGS, *PLAINEST_FLAGS, "--attention_resolutions=16", "--loss=wasserstein")
"""Flags of a run that is traced fast, takes hundredths of a second for a step and has checkpoints of 0.5 MB. With the
hinge loss, its first steps would not depend on the images."""


@contextlib.contextmanager
def start_training(run_dir: pathlib.Path, *flags: str) -> Iterator[subprocess.Popen]:
    """Start training in a process of its own, which is killed at the end of the context.

    `read_output` returns the output of the process.
    """
    command = [sys.executable, "-m", "sagan_tf.train", *SMALL, f"--run_dir={run_dir}", *flags]
    # tests/conftest.py sets this variable, but users do not.
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    with _log(run_dir, "out").open("w") as out, _log(run_dir, "err").open("w") as err:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=err)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def read_output(run_dir: pathlib.Path, stream: str = "out") -> str:
    """Return the output of the last training process of a run."""
    return _log(run_dir, stream).read_text(encoding="utf-8")


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen, seconds: float = 240, every: float = 0.02
) -> None:
    """Wait until a condition is true; fail if the process ends before or the time limit is over."""

    def is_met() -> bool:
        if condition():
            return True
        assert process.poll() is None, f"the process ended with status {process.returncode}"
        return False

    waiting.wait_until(is_met, seconds=seconds, every=every)


def _log(run_dir: pathlib.Path, stream: str) -> pathlib.Path:
    """Return the path of a log file, which is beside the run directory so that it does not fill a small disk."""
    return run_dir.with_name(f"{run_dir.name}.{stream}")
