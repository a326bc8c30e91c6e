"""Batches for training: shapes, range, determinism, flips and errors."""

import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.pipeline import make_single_pass_dataset, make_training_dataset
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from tests.data.sample_folders import build_class_directories, build_record_files


def open_directory(directory: Path, resolution: int = 16) -> Source:
    return open_source(DataConfig(dataset="folder", data_dir=str(directory)), resolution=resolution, image_channels=3)


def first_batches(source: Source, count: int, *, seed: int = 0, position: int = 0, random_flip: bool = False) -> dict:
    """Return `count` batches of 4, concatenated."""
    dataset = make_training_dataset(source, batch_size=4, seed=seed, position=position, random_flip=random_flip)
    batches = list(dataset.take(count).as_numpy_iterator())
    return {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}


def test_batches_are_static_in_shape_and_scaled(class_directories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_directory(class_directories)
    with monkeypatch.context() as patch:
        patch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
        patch.setattr("os.sched_getaffinity", lambda pid: set(range(77)), raising=False)
        dataset = make_training_dataset(source, batch_size=4, seed=0, position=0, random_flip=True)
    assert dataset.options().autotune.enabled is False
    assert dataset.options().threading.private_threadpool_size == 77
    assert dataset.element_spec == {
        "images": tf.TensorSpec([4, 16, 16, 3], tf.float32),
        "labels": tf.TensorSpec([4], tf.int32),
        "positions": tf.TensorSpec([4], tf.int64),
    }
    batch = first_batches(source, 3)
    # Blue is 77 in every image; red encodes the label.
    np.testing.assert_allclose(batch["images"][..., 2], 77 / 127.5 - 1, atol=1e-6)
    red = np.rint((batch["images"][:, 8, 8, 0] + 1) * 127.5)
    np.testing.assert_array_equal(red, 40 * batch["labels"] + 10)
    assert sorted(batch["labels"]) == [0] * 6 + [1] * 6


def test_resumes_bit_identically_with_flips(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (12, 16, 16, 3)).astype(np.uint8)
    for index, image in enumerate(images):
        (tmp_path / f"{index}.png").write_bytes(tf.io.encode_png(image).numpy())
    source = open_directory(tmp_path)
    whole = first_batches(source, 6, random_flip=True)
    tail = first_batches(source, 3, position=int(whole["positions"][11]) + 1, random_flip=True)
    for key in whole:
        np.testing.assert_array_equal(whole[key][12:], tail[key])
    plain = first_batches(source, 6)
    flipped = (whole["images"] != plain["images"]).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(whole["images"][flipped], plain["images"][flipped][:, :, ::-1])
    seed_1 = [first_batches(source, 6, seed=1, random_flip=flip)["images"] for flip in (False, True)]
    flipped_1 = np.any(seed_1[0] != seed_1[1], axis=(1, 2, 3))
    # Flips change with the position, the epoch and the seed.
    for changed in (flipped[:12], flipped[12:], flipped[:12] != flipped[12:], flipped != flipped_1):
        assert 0.2 < changed.mean() < 0.8


@pytest.mark.parametrize(("batch_size", "num_shards"), [(30, 1), (15, 2), (1, 30)])
def test_a_data_set_smaller_than_a_batch_is_repeated(class_directories: Path, batch_size: int, num_shards: int) -> None:
    """A batch of all shards has 12 images twice and half of them a third time, and the next batch goes on."""
    source = open_directory(class_directories)
    parts = []
    for index in range(num_shards):
        dataset = make_training_dataset(source, batch_size=batch_size, seed=0, position=0, random_flip=False,
                                        shard_index=index, num_shards=num_shards)  # fmt: skip
        parts.append(list(dataset.take(2).as_numpy_iterator()))
    for number in range(2):
        positions = np.concatenate([part[number]["positions"] for part in parts])
        np.testing.assert_array_equal(np.sort(positions), np.arange(30 * number, 30 * number + 30))
    images = np.concatenate([batch["images"] for part in parts for batch in part])
    assert np.unique(images.reshape(60, -1), axis=0, return_counts=True)[1].tolist() == [5] * 12


@pytest.mark.parametrize("kind", ["folder", "tfrecord"])
def test_a_damaged_image_is_skipped_and_named_once(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if kind == "folder":
        build_class_directories(tmp_path, images_per_class=60)
        (tmp_path / "dog" / "007.png").write_bytes(b"not an image")
    else:
        build_record_files(tmp_path, records_per_file=(60, 60), num_classes=2, damaged=(7,))
    source = open_source(DataConfig(dataset=kind, data_dir=str(tmp_path)), resolution=8, image_channels=3)
    dataset = make_training_dataset(source, batch_size=17, seed=0, position=0, random_flip=False)
    with caplog.at_level(logging.WARNING, "sagan_tf"):
        positions = np.concatenate([batch["positions"] for batch in dataset.take(14).as_numpy_iterator()])
    assert source.skipped.count == 1
    (name,) = source.skipped.names
    assert name.endswith(str(Path("dog", "007.png")) if kind == "folder" else "(image_7)")
    messages = [record.getMessage() for record in caplog.records if name in record.getMessage()]
    assert len(messages) == 1
    missing = sorted(set(range(positions.max() + 1)) - set(positions))
    assert [place // 120 for place in missing] == [0, 1]  # left out once per epoch; its position is not used again


def test_single_pass_gives_every_image_once(class_directories: Path) -> None:
    source = open_directory(class_directories)
    batches = list(make_single_pass_dataset(source, batch_size=5).as_numpy_iterator())
    labels = np.concatenate([batch["labels"] for batch in batches])
    colors = np.concatenate([batch["images"] for batch in batches])[:, 4, 4]
    assert len({tuple(color) for color in colors}) == source.num_examples == len(labels)
    np.testing.assert_array_equal(np.bincount(labels), source.class_counts)
