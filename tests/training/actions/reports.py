"""Step reports for actions, and the TensorBoard events that actions write."""

import pathlib
from typing import Any

from tensorflow.python.summary.summary_iterator import summary_iterator

from sagan_tf.training.actions.schedule import StepReport


def make_report(
    step: int, num_steps: int = 2, last: bool = False, seconds: float = 0.5, **metrics: float
) -> StepReport:
    metrics = {"discriminator_loss": 1.0, "generator_loss": 2.0} | metrics
    return StepReport(step, num_steps, metrics, seconds, last)


def read_summaries(directory: pathlib.Path) -> dict[str, dict[int, Any]]:
    """Return the values in the TensorBoard files of a directory by tag and step."""
    found: dict[str, dict[int, Any]] = {}
    for path in sorted(directory.glob("events*")):
        for event in summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value
    return found
