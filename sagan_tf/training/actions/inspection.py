"""Actions that write attention maps, histograms of weights and a profile."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from sagan_tf.keras_backend import keras
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.actions.tensorboard import at_step
from sagan_tf.visualization.attention_maps import ImageAttention, draw_attention_sheet


class AttentionMaps:
    """Action that writes attention maps of the EMA generator to TensorBoard.

    Args:
        writer: The TensorBoard writer.
        compute_attention: Generates a few images with their attention maps.
    """

    def __init__(self, writer: tf.summary.SummaryWriter, compute_attention: Callable[[], list[ImageAttention]]) -> None:
        self._writer = writer
        self._compute_attention = compute_attention

    def __call__(self, report: StepReport) -> None:
        """Write the image of the attention maps."""
        sheet = draw_attention_sheet(self._compute_attention())
        with at_step(self._writer, report.step):
            tf.summary.image("attention_maps", np.asarray(sheet)[np.newaxis])


class Histograms:
    """Action that writes a histogram of every trainable variable to TensorBoard.

    Args:
        writer: The TensorBoard writer.
        networks: The networks of the variables.
    """

    def __init__(self, writer: tf.summary.SummaryWriter, networks: list[keras.Model]) -> None:
        self._writer = writer
        self._networks = networks

    def __call__(self, report: StepReport) -> None:
        """Write the histograms."""
        with at_step(self._writer, report.step):
            for network in self._networks:
                for variable in network.trainable_variables:
                    tf.summary.histogram(f"{network.name}/{variable.path}", variable)


class Profile:
    """Action that records a profile of some steps for TensorBoard's profile plugin.

    Args:
        directory: The directory of TensorBoard.
        first: The number of steps after which the profile starts.
        last: The last step of the profile.
        step: The number of steps done when the loop starts.
    """

    def __init__(self, directory: str, first: int, last: int, step: int) -> None:
        self._directory = directory
        self._first, self._last = first, last
        self._is_running = False
        if step == first:
            self._start()

    def next_step(self, step: int) -> int | None:
        """Return the next step at which the profile starts or ends, or None."""
        return next((limit for limit in (self._first, self._last) if limit > step), None)

    def __call__(self, report: StepReport) -> None:
        """Start or end the profile if it is due."""
        if self._is_running and (report.step >= self._last or report.last):
            self.close()
        elif report.step == self._first and not report.last:
            self._start()

    def close(self) -> None:
        """End the profile and write it, if it has started."""
        if self._is_running:
            tf.profiler.experimental.stop()
            self._is_running = False

    def _start(self) -> None:
        tf.profiler.experimental.start(self._directory)
        self._is_running = True
