import json
import logging
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.python.summary.summary_iterator import summary_iterator

from sagan_tf.training.actions import Progress, SampleGrid, Scalars, drop_lines_after
from sagan_tf.training.loop import StepReport


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


def test_scalars_are_means_since_the_last_line(tmp_path: pathlib.Path):
    writer = tf.summary.create_file_writer(str(tmp_path / "tensorboard"))
    path = tmp_path / "metrics.jsonl"
    scalars = Scalars(path, writer, every=4, images_per_step=8, step=0, extra=lambda: {"gamma/g/attention": 0.25})
    scalars(report(3, 3, discriminator_loss=1.0))
    assert not path.exists()
    scalars(report(4, 1, discriminator_loss=5.0))
    scalars(report(5, 1, last=True))
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
    shown = events(tmp_path / "tensorboard")
    assert shown[4, "discriminator_loss"] == 2.0 and shown[5, "gamma/g/attention"] == 0.25


def test_lines_beyond_the_step_resumed_from_are_dropped(tmp_path: pathlib.Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 2, "kind": "train"}\n{"step": 4, "kind": "train"}\n{"step": 6}\n{"step": 3, "ki', "utf-8-sig"
    )
    drop_lines_after(path, 4)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [2, 4]
    drop_lines_after(tmp_path / "missing.jsonl", 4)


def test_sample_grid_is_a_png_and_an_image_in_tensorboard(tmp_path: pathlib.Path):
    writer = tf.summary.create_file_writer(str(tmp_path / "tensorboard"))
    images = np.linspace(-1, 1, 6 * 32 * 32, dtype=np.float32).reshape(6, 32, 32, 1)
    SampleGrid(tmp_path / "samples", writer, lambda: images, 3, ["cat", "dog"])(report(200))
    with Image.open(tmp_path / "samples" / "step_00000200.png") as picture:
        assert picture.size[0] > 3 * 32 and picture.size[1] > 2 * 32
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["step_00000200.png"]
    assert (200, "samples") in events(tmp_path / "tensorboard")


@pytest.mark.parametrize("traces", [False, True])
def test_a_first_step_that_traces_is_named(traces: bool, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="sagan_tf")
    progress = Progress(step=0, num_steps=10, images_per_step=64, line_every=100, traces=traces)
    progress(report(1, num_steps=1, seconds=7.0))
    progress(report(2, num_steps=1))
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["first step after 7 s, tracing included"] * traces


def test_plain_lines_without_a_terminal(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="sagan_tf")
    progress = Progress(step=0, num_steps=10, images_per_step=64, line_every=4)
    for step in (2, 4, 6):
        progress(report(step))
    progress(report(10, last=True))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert lines[0].startswith("step 4/10  4.00 steps/s  images/s 256  d_loss 1.000  g_loss 2.000  ETA ")
    assert lines[1].startswith("step 10/10 ")
