"""Tests of the held-out images of the overfitting reader."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS, Augmentation
from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError
from sagan_tf.runs.metrics_log import read_metrics
from sagan_tf.training.health.overfitting import MAX_IMAGES, open_overfitting_reader, sample_labeled_images
from sagan_tf.training.health.signs import HELD_OUT_GAP
from sagan_tf.training.train import train
from tests.data.sample_folders import build_class_directories, build_record_files
from tests.training.tiny import PLAINEST_NETWORKS, make_state, one_device, run_config, tiny_config


def open_folder(directory: Path) -> Any:
    config = DataConfig(dataset="folder", data_dir=str(directory))
    return open_source(config, resolution=32, image_channels=3)


def test_labels_are_matched_by_class_name(tmp_path):
    build_class_directories(tmp_path, ("cat", "zebra"), images_per_class=2)
    source = open_folder(tmp_path)
    images = sample_labeled_images(source, ("ant", "zebra", "bee", "cat"))
    assert sorted(images.labels.tolist()) == [1, 1, 3, 3]
    red = images.images[:, 0, 0, 0]  # 10 for the first class of the directory, 50 for the second
    np.testing.assert_array_equal(images.labels, np.where(red == 10, 3, 1))
    assert sample_labeled_images(source, ()).labels.tolist() == [0] * 4
    assert len(sample_labeled_images(source, (), multiple_of=3).labels) == 3
    assert len(sample_labeled_images(source, (), multiple_of=5).labels) == 4
    with pytest.raises(UserError, match="'zebra'"):
        sample_labeled_images(source, ("cat", "dog"))


def test_images_without_labels_are_rejected(tmp_path):
    build_class_directories(tmp_path, ("one",), images_per_class=3)
    with pytest.raises(UserError, match="images without labels"):
        sample_labeled_images(open_folder(tmp_path / "one"), ("one",))


def test_a_sample_of_many_images():
    source = open_source(DataConfig(dataset="fashion_mnist_10k"), resolution=32, image_channels=1)
    images = sample_labeled_images(source, source.class_names)
    assert images.images.shape == (MAX_IMAGES, 32, 32, 1) and images.images.dtype == np.uint8
    assert np.bincount(images.labels).min() > 10
    stored = {
        example["image"].tobytes(): int(example["label"]) for example in source.preview(10_000).as_numpy_iterator()
    }
    assert [stored[image.tobytes()] for image in images.images] == images.labels.tolist()


def open_reader(tmp_path: Path, held_out: str, **options: Any) -> Any:
    data = {"dataset": "folder", "data_dir": str(tmp_path / "training"), "held_out": held_out, "image_channels": 3}
    config = tiny_config(**{**data, "num_classes": 2, **PLAINEST_NETWORKS, **options})
    state = make_state(config, one_device())
    source = open_source(config.data, resolution=32, image_channels=3)
    return open_overfitting_reader(config, source, state)


@pytest.fixture
def directories(tmp_path: Path) -> Path:
    for name in ("training", "held_out"):
        build_class_directories(tmp_path / name, images_per_class=4)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "probability", "is_zero"),
    [
        ({}, None, False),
        ({"augment": ("flip",)}, None, True),
        ({"augment": ("flip",), "ada_target": 0.6}, 0.0, False),
        ({"augment": ("flip",), "ada_target": 0.6}, 1.0, True),
    ],
)
def test_the_augmentation_and_its_probability_are_those_of_the_run(
    options, probability, is_zero, directories, monkeypatch
):
    monkeypatch.setitem(AUGMENTATIONS, "flip", Augmentation(lambda images, draws: tf.zeros_like(images), 1))
    build_class_directories(directories / "more", images_per_class=9)  # their mean differs
    reader = open_reader(directories, str(directories / "more"), **options)
    if probability is not None:
        reader._state.augment_probability.probability.assign(probability)
    assert (reader()[HELD_OUT_GAP] == 0.0) == is_zero


@pytest.mark.parametrize(
    ("held_out", "problem"),
    [("training", "trained on"), ("folder:test", "folder"), ("tfrecord:test", "directory"), ("none", "none")],
)
def test_unusable_images_are_rejected(directories, held_out, problem):
    text = held_out if ":" in held_out else str(directories / held_out)
    with pytest.raises(UserError, match=f"^held_out.*{problem}"):
        open_reader(directories, text)


@pytest.mark.parametrize(
    "part",
    [{"classes": ("2", "1")}, {"exclude_classes": ("0",)}, {"max_images_per_class": 2}, {"data_fraction": 0.5}],
)
@pytest.mark.parametrize("dataset", ["folder", "tfrecord"])
def test_the_data_set_that_the_training_images_are_a_part_of_is_rejected(tmp_path, dataset, part):
    held_out, data_dir = str(tmp_path / "training"), {}
    build_class_directories(tmp_path / "training", ("bee", "cat", "dog"), images_per_class=4)
    if dataset == "tfrecord":
        build_record_files(tmp_path, resolution=32)
        held_out, data_dir = "tfrecord:train", {"dataset": "tfrecord", "data_dir": str(tmp_path)}
    with pytest.raises(UserError, match="^held_out.*trained on"):
        open_reader(tmp_path, held_out, **part, **data_dir)


@pytest.mark.parametrize("conditioning", ["projection", "none"])
def test_held_out_images_without_the_classes_of_the_run(directories, conditioning):
    build_class_directories(directories / "birds", ("crow", "owl"), images_per_class=2)
    part = {"classes": ("dog", "cat"), "conditioning": conditioning, "num_classes": 2 * (conditioning != "none")}
    with pytest.raises(UserError, match="^held_out.*crow"):
        open_reader(directories, str(directories / "birds"), **part)


def test_the_error_of_an_unreadable_image_has_the_option(directories):
    (directories / "held_out" / "cat" / "000.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    with pytest.raises(UserError, match=r"^held_out=.*000\.png"):
        open_reader(directories, str(directories / "held_out"))


@pytest.mark.slow
def test_a_run_records_the_held_out_gap(tmp_path):
    """The reading does not change the training."""
    build_record_files(tmp_path, split="test", num_classes=0, resolution=32)
    found: list[Any] = []
    for held_out, data_dir in (("tfrecord:test", str(tmp_path)), ("", "")):
        options = {"held_out": held_out, "data_dir": data_dir, "num_classes": 0, "conditioning": "none"}
        run_dir = tmp_path / f"run{len(found)}"
        train(run_config(run_dir, 2, sample_every=2, log_every=2, **options, **PLAINEST_NETWORKS))
        lines = {line["kind"]: line for line in read_metrics(run_dir / "metrics.jsonl")}
        found.append((lines["train"]["discriminator_loss"], lines["health"].get(HELD_OUT_GAP)))
    (loss, gap), plain = found
    assert plain == (loss, None) and np.isfinite(gap) and gap != 0.0


@pytest.mark.parametrize("held_out", ["no/such/place", "fashion_mnist_10k:no"])
def test_an_error_in_held_out_creates_no_run_directory(tmp_path, held_out):
    options = {"dataset": "fashion_mnist_10k", "num_classes": 0, "held_out": held_out, **PLAINEST_NETWORKS}
    with pytest.raises(UserError, match=f"^held_out.*{held_out}"):
        train(tiny_config(run_dir=str(tmp_path / "run"), **options))
    assert not list(tmp_path.iterdir())
