"""Reports that actions are called with, and the events that they write."""

from __future__ import annotations

import pathlib

import tensorflow as tf
from tensorflow.python.summary.summary_iterator import summary_iterator

from sagan_tf.training.actions.schedule import StepReport


def report(step: int, num_steps: int = 2, last: bool = False, seconds: float = 0.5, **metrics: float) -> StepReport:
    metrics = {"discriminator_loss": 1.0, "generator_loss": 2.0} | metrics
    return StepReport(step, num_steps, metrics, seconds, last)


def events(directory: pathlib.Path) -> dict[tuple[int, str], float]:
    found = {}
    for path in sorted(directory.glob("events*")):
        for event in summary_iterator(str(path)):
            for value in event.summary.value:
                found[event.step, value.tag] = tf.make_ndarray(value.tensor)
    return found
