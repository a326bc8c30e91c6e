"""Tests of the recorded training metrics."""

import json

import tensorflow as tf

from sagan_tf.training.actions.scalars import Scalars
from tests.training.actions.reports import make_report, read_summaries


def test_scalars_are_means_since_the_last_line(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path / "tensorboard"))
    path = tmp_path / "metrics.jsonl"
    scalars = Scalars(path, writer, every=4, images_per_step=8, step=0, read_extra=lambda: {"gamma/g/attention": 0.25})
    scalars(make_report(3, 3, discriminator_loss=1.0))
    assert not path.exists()
    scalars(make_report(4, 1, discriminator_loss=5.0))
    scalars(make_report(5, 1, last=True))
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert first == {
        "step": 4,
        "kind": "train",
        "discriminator_loss": 2.0,
        "generator_loss": 2.0,
        "steps_per_second": 4.0,
        "images_per_second": 32.0,
        "gamma/g/attention": 0.25,
    }
    assert second["step"] == 5 and second["discriminator_loss"] == 1.0
    shown = read_summaries(tmp_path / "tensorboard")
    assert tf.make_ndarray(shown["discriminator_loss"][4].tensor) == 2.0
    assert tf.make_ndarray(shown["gamma/g/attention"][5].tensor) == 0.25
