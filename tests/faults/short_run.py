"""A run of a few steps with the training command in this process."""

import pathlib

from tests import commands
from tests.faults.processes import SMALL

STEPS = 10
FLAGS = ["--steps_per_loop=1", "--log_every=1", "--sample_every=3", "--checkpoint_every=2", "--keep_checkpoints=2"]
FLAGS += [f"--num_steps={STEPS}"]


def run_training(run_dir: pathlib.Path, *flags: str) -> int:
    return commands.train([*SMALL, *FLAGS, f"--run_dir={run_dir}", *flags])
