"""Tests of the sample grids."""

import numpy as np
import tensorflow as tf
from PIL import Image

from sagan_tf.training.actions.sample_grid import SampleGrid
from tests.training.actions.reports import make_report, read_events


def test_sample_grid_is_a_png_and_an_image_in_tensorboard(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path / "tensorboard"))
    images = np.linspace(-1, 1, 6 * 32 * 32, dtype=np.float32).reshape(6, 32, 32, 1)
    SampleGrid(tmp_path / "samples", writer, lambda: images, 3, ["cat", "dog"])(make_report(200))
    with Image.open(tmp_path / "samples" / "step_00000200.png") as image:
        assert image.size[0] > 3 * 32 and image.size[1] > 2 * 32
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["step_00000200.png"]
    assert (200, "samples") in read_events(tmp_path / "tensorboard")
