"""Schedules of learning rates; add one as an entry of `LEARNING_RATE_SCHEDULES`.

All schedules are pure functions of the step, so no state has to be saved to resume a run.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import tensorflow as tf

from sagan_tf.config import TrainingConfig

_logger = logging.getLogger("sagan_tf")


def compute_progress(step: tf.Tensor, start: int, num_steps: int) -> tf.Tensor:
    """Return the fraction of `num_steps` steps after `start` that is done.

    Args:
        step: Number of steps done, an integer scalar.
        start: First step of the interval.
        num_steps: Length of the interval, above 0.

    Returns:
        A float32 scalar in [0, 1].
    """
    return tf.clip_by_value(tf.cast(step - start, tf.float32) / num_steps, 0.0, 1.0)


def compute_cosine_decay(done: tf.Tensor) -> tf.Tensor:
    """Return a factor that falls from 1 to 0 along half a cosine for `done` in [0, 1]."""
    return 0.5 * (1.0 + tf.cos(math.pi * done))


LEARNING_RATE_SCHEDULES: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "constant": tf.ones_like,
    "linear": lambda done: 1.0 - done,
    "cosine": compute_cosine_decay,
}
"""Functions from the fraction of the decay that is done, in [0, 1], to the factor of the learning rate, by name."""


def compute_learning_rate_factor(config: TrainingConfig, step: tf.Tensor) -> tf.Tensor:
    """Return the factor that both learning rates are multiplied by.

    Args:
        config: The schedule.
        step: Number of generator updates done before this one, an int64 scalar; 0 for the first update.

    Returns:
        A float32 scalar in [0, 1].
    """
    decay_steps, warmup_steps = max(config.learning_rate_decay_steps, 1), max(config.learning_rate_warmup_steps, 1)
    done = compute_progress(step, config.learning_rate_decay_start, decay_steps)
    return LEARNING_RATE_SCHEDULES[config.learning_rate_schedule](done) * compute_progress(step + 1, 0, warmup_steps)


def warn_if_rates_reach_zero(config: TrainingConfig) -> None:
    """Log a warning if the learning rates are 0 before the last step.

    This happens when a run is resumed for more steps.
    """
    end = config.learning_rate_end
    if end is None or end >= config.num_steps:
        return
    _logger.warning(
        "The learning rates are 0 from step %d on, so no weight is trained between that step and --num_steps=%d. To "
        "train for that many steps, start a run in another --run_dir with --learning_rate_decay_steps=%d.",
        end,
        config.num_steps,
        config.num_steps - config.learning_rate_decay_start,
    )


def create_learning_rate(
    config: TrainingConfig, learning_rate: float, step: tf.Variable
) -> float | Callable[[], tf.Tensor]:
    """Create the `learning_rate` argument of an optimizer.

    Args:
        config: The schedule.
        learning_rate: Learning rate where the factor of the schedule is 1.
        step: Number of generator updates done, an int64 scalar.

    Returns:
        The learning rate itself if it is constant. Otherwise a function that computes the rate of each update, so that
        no rate is saved in a checkpoint.
    """
    if config.learning_rate_schedule == "constant" and not config.learning_rate_warmup_steps:
        return learning_rate
    return lambda: learning_rate * compute_learning_rate_factor(config, step)
