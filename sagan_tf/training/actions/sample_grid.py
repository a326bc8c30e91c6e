"""Save a grid of images from fixed latents."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.actions.tensorboard import at_step
from sagan_tf.visualization.image_grid import image_grid, save_png


class SampleGrid:
    """A grid of images from fixed latents: a PNG and an image in TensorBoard.

    Args:
        directory: gets `step_<8 digits>.png`.
        writer: TensorBoard's.
        draw: makes the images, float32 [rows * columns, R, R, C] in [-1, 1].
        columns: images in a row.
        row_names: class of each row; empty for none.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        writer: tf.summary.SummaryWriter,
        draw: Callable[[], np.ndarray],
        columns: int,
        row_names: Sequence[str],
    ) -> None:
        self._directory = directory
        self._writer = writer
        self._draw = draw
        self._columns = columns
        self._row_names = row_names

    def __call__(self, report: StepReport) -> None:
        picture = image_grid(self._draw(), self._columns, self._row_names)
        save_png(picture, self._directory / f"step_{report.step:08d}.png")
        with at_step(self._writer, report.step):
            tf.summary.image("samples", np.asarray(picture)[np.newaxis])
