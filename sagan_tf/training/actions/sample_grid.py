"""The action that saves a grid of images from fixed latents."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.actions.tensorboard import at_step
from sagan_tf.visualization.image_grid import draw_image_grid, save_png


class SampleGrid:
    """Action that writes a grid of images from fixed latents.

    It writes a PNG file and an image in TensorBoard.

    Args:
        directory: The directory of the files `step_<8 digits>.png`.
        writer: The TensorBoard writer.
        generate: Generates the images, float32 [rows * columns, R, R, C] in [-1, 1].
        columns: The number of images in a row.
        row_names: The class names of the rows; empty for rows without names.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        writer: tf.summary.SummaryWriter,
        generate: Callable[[], np.ndarray],
        columns: int,
        row_names: Sequence[str],
    ) -> None:
        self._directory = directory
        self._writer = writer
        self._generate = generate
        self._columns = columns
        self._row_names = row_names

    def __call__(self, report: StepReport) -> None:
        """Generate the images and write the grid."""
        grid = draw_image_grid(self._generate(), self._columns, self._row_names)
        save_png(grid, self._directory / f"step_{report.step:08d}.png")
        with at_step(self._writer, report.step):
            tf.summary.image("samples", np.asarray(grid)[np.newaxis])
