"""Numbers that change with the step; a new learning-rate schedule is one entry of `LEARNING_RATE_SCHEDULES`.

All are pure functions of the step, so a resumed run needs no state of its own.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import tensorflow as tf

from sagan_tf.config import TrainingConfig

_logger = logging.getLogger("sagan_tf")


def progress(step: tf.Tensor, start: int, num_steps: int) -> tf.Tensor:
    """Return how much of `num_steps` steps after `start` is done: float32 scalar in [0, 1]."""
    return tf.clip_by_value(tf.cast(step - start, tf.float32) / num_steps, 0.0, 1.0)


def cosine(done: tf.Tensor) -> tf.Tensor:
    """Return a number that falls from 1 to 0 along half a cosine, for `done` in [0, 1]."""
    return 0.5 * (1.0 + tf.cos(math.pi * done))


LEARNING_RATE_SCHEDULES: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "constant": tf.ones_like,
    "linear": lambda done: 1.0 - done,
    "cosine": cosine,
}
"""Name -> function of the part of the decay that is done, in [0, 1], to the factor of the learning rate."""


def learning_rate_factor(config: TrainingConfig, step: tf.Tensor) -> tf.Tensor:
    """Return what both learning rates are multiplied by.

    Args:
        config: the schedule.
        step: int64 scalar, generator updates done before; the first update has 0.

    Returns:
        float32 scalar in [0, 1].
    """
    decay_steps, warmup_steps = max(config.learning_rate_decay_steps, 1), max(config.learning_rate_warmup_steps, 1)
    done = progress(step, config.learning_rate_decay_start, decay_steps)
    return LEARNING_RATE_SCHEDULES[config.learning_rate_schedule](done) * progress(step + 1, 0, warmup_steps)


def warn_if_rates_reach_zero(config: TrainingConfig) -> None:
    """Log a warning if the learning rates are 0 before the last step, as in a run that is resumed for more steps."""
    end = config.learning_rate_end
    if end is None or end >= config.num_steps:
        return
    _logger.warning(
        "learning rates: they are 0 from step %d on, so no weight is trained from there to --num_steps=%d; for so many "
        "steps, begin a run in another --run_dir with --learning_rate_decay_steps=%d",
        end,
        config.num_steps,
        config.num_steps - config.learning_rate_decay_start,
    )


def scheduled_learning_rate(
    config: TrainingConfig, learning_rate: float, step: tf.Variable
) -> float | Callable[[], tf.Tensor]:
    """Return what an optimizer takes as its learning rate.

    Args:
        config: the schedule.
        learning_rate: the rate where the schedule's factor is 1.
        step: int64 scalar, generator updates done.

    Returns:
        The rate itself if it never changes; otherwise a function that computes it anew for each update, so that no rate
        is kept in a checkpoint.
    """
    if config.learning_rate_schedule == "constant" and not config.learning_rate_warmup_steps:
        return learning_rate
    return lambda: learning_rate * learning_rate_factor(config, step)
