"""A run of a few steps in this process, by way of its door; the fixture `whole` is one that nothing befell."""

from __future__ import annotations

import pathlib

from sagan_tf import train
from tests.faults.processes import SMALL

STEPS = 10
FLAGS = ("--steps_per_loop=1", "--log_every=1", "--sample_every=3", "--checkpoint_every=2", "--keep_checkpoints=2")
FLAGS += (f"--num_steps={STEPS}",)


def run(run_dir: pathlib.Path, *flags: str) -> int:
    """Trains in a folder, or goes on there; returns the exit status."""
    return train.run([*SMALL, *FLAGS, f"--run_dir={run_dir}", *flags])
