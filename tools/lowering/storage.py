"""Directory of a lowered run: its program, its images and their description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.files import write_atomically
from sagan_tf.text import read_text
from tools.lowering.inputs import PreparedRun
from tools.lowering.program import Program
from tools.lowering.variables import write_variables

PROGRAM_FILE = "training.hlo"
DESCRIPTION_FILE = "training.json"
IMAGES_FILE = "images.npz"


def write_directory(directory: Path, program: Program, run: PreparedRun) -> None:
    """Write all files for `run_lowered_training.py` and `collect`."""
    description = {
        "inputs": program.inputs,
        "metrics": program.metrics,
        "rows_shape": program.rows_shape,
        "random_flip": run.config.data.random_flip,
        "seed": run.config.training.seed,
        "first_step": int(run.state.step.numpy()),
        "flagfile": run.config.to_flagfile(),
        "startup": run.startup,
    }
    (directory / PROGRAM_FILE).write_bytes(program.module)
    np.savez_compressed(directory / IMAGES_FILE, images=run.images, labels=run.labels)
    write_variables(directory, run.state)
    write_atomically(directory / DESCRIPTION_FILE, json.dumps(description, indent=1))


def read_description(directory: Path) -> dict[str, Any]:
    """Read the description of a lowered run.

    Raises:
        UserError: The directory was not made by `write`.
    """
    try:
        description = dict(json.loads(read_text(directory / DESCRIPTION_FILE)))
        expected = {"flagfile": str, "first_step": int, "startup": dict}
        if wrong := [name for name, kind in expected.items() if not isinstance(description[name], kind)]:
            raise TypeError(f"{wrong[0]}: {description[wrong[0]]!r}")
        return {name: description[name] for name in expected}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"DIR: {directory} was not made by `lower_training.py write` ({error!r})") from error
