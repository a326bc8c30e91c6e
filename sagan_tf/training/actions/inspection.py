"""Actions that look inside the networks while they train: attention maps, histograms of weights, a profile."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from sagan_tf.keras_backend import keras
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.actions.tensorboard import at_step
from sagan_tf.visualization.attention_maps import AttendedPicture, attention_sheet


class AttentionMaps:
    """Where the averaged generator looks, as a picture in TensorBoard.

    Args:
        writer: TensorBoard's.
        look: makes a few pictures with their maps.
    """

    def __init__(self, writer: tf.summary.SummaryWriter, look: Callable[[], list[AttendedPicture]]) -> None:
        self._writer = writer
        self._look = look

    def __call__(self, report: StepReport) -> None:
        picture = attention_sheet(self._look())
        with at_step(self._writer, report.step):
            tf.summary.image("attention_maps", np.asarray(picture)[np.newaxis])


class Histograms:
    """Distribution of every trainable variable of some networks, in TensorBoard."""

    def __init__(self, writer: tf.summary.SummaryWriter, networks: list[keras.Model]) -> None:
        self._writer = writer
        self._networks = networks

    def __call__(self, report: StepReport) -> None:
        with at_step(self._writer, report.step):
            for network in self._networks:
                for variable in network.trainable_variables:
                    tf.summary.histogram(f"{network.name}/{variable.path}", variable)


class Profile:
    """TensorFlow's profile of some steps, for TensorBoard's profile plugin.

    Args:
        directory: TensorBoard's.
        first, last: the steps; it begins after `first` steps are done.
        step: steps done when the loop begins.
    """

    def __init__(self, directory: str, first: int, last: int, step: int) -> None:
        self._directory = directory
        self._first, self._last = first, last
        self._runs = False
        if step == first:
            self._start()

    def next_step(self, step: int) -> int | None:
        """See `Scheduled`."""
        return next((one for one in (self._first, self._last) if one > step), None)

    def __call__(self, report: StepReport) -> None:
        if self._runs and (report.step >= self._last or report.last):
            self.close()
        elif report.step == self._first and not report.last:
            self._start()

    def close(self) -> None:
        """Write what there is, if it runs."""
        if self._runs:
            tf.profiler.experimental.stop()
            self._runs = False

    def _start(self) -> None:
        tf.profiler.experimental.start(self._directory)
        self._runs = True
