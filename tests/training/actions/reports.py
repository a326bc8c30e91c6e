"""Step reports for actions, and the TensorBoard events that actions write."""

import pathlib

import tensorflow as tf
from tensorflow.python.summary.summary_iterator import summary_iterator

from sagan_tf.training.actions.schedule import StepReport


def make_report(
    step: int, num_steps: int = 2, last: bool = False, seconds: float = 0.5, **metrics: float
) -> StepReport:
    metrics = {"discriminator_loss": 1.0, "generator_loss": 2.0} | metrics
    return StepReport(step, num_steps, metrics, seconds, last)


def read_events(directory: pathlib.Path) -> dict[tuple[int, str], float]:
    values = {}
    for path in sorted(directory.glob("events*")):
        for event in summary_iterator(str(path)):
            for summary in event.summary.value:
                values[event.step, summary.tag] = tf.make_ndarray(summary.tensor)
    return values
