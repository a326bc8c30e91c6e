"""Options that several commands have."""

from __future__ import annotations

from typing import Any

from sagan_tf.config.option import option
from sagan_tf.errors import UserError

_NAMED_CHECKPOINTS = ("latest", "best")


def checkpoint_option() -> Any:
    """Return the option that names a checkpoint of a run."""
    return option("latest", "Checkpoint of the run: latest, best (kept by --evaluate_every) or a step.")


def check_checkpoint(checkpoint: str) -> None:
    """Raise UserError for a name that no checkpoint has."""
    if checkpoint not in _NAMED_CHECKPOINTS and not checkpoint.isdecimal():
        raise UserError(f"checkpoint: expected latest, best or a step, received {checkpoint!r}")


def generator_weights_option() -> Any:
    """Return the option that chooses between the two generators of a run."""
    return option(
        "ema",
        "Weights of the run's generator: ema (the EMA generator, whose weights are averaged over the training) or live "
        "(the trained generator).",
        choices=("ema", "live"),
    )
