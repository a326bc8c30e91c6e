"""Batches for training: shapes, range, determinism, flips and errors."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.pipeline import make_single_pass_dataset, make_training_dataset
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from tests.data.sample_folders import build_class_directories, build_record_files


def open_directory(directory: Path, resolution: int = 16) -> Source:
    return open_source(DataConfig(dataset="folder", data_dir=str(directory)), resolution=resolution, image_channels=3)


def first_batches(source: Source, count: int, *, seed: int = 0, position: int = 0, random_flip: bool = False) -> dict:
    """Return `count` batches of 4, concatenated."""
    dataset = make_training_dataset(source, batch_size=4, seed=seed, position=position, random_flip=random_flip)
    batches = list(dataset.take(count).as_numpy_iterator())
    return {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}


def test_batches_are_static_in_shape_and_scaled(class_directories: Path) -> None:
    source = open_directory(class_directories)
    dataset = make_training_dataset(source, batch_size=4, seed=0, position=0, random_flip=True)
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


def test_batches_cross_the_end_of_an_epoch(class_directories: Path) -> None:
    source = open_directory(class_directories)
    dataset = make_training_dataset(source, batch_size=5, seed=0, position=0, random_flip=False)
    positions = np.concatenate([batch["positions"] for batch in dataset.take(6).as_numpy_iterator()])
    np.testing.assert_array_equal(positions, np.arange(30))


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
    assert 0 < flipped.sum() < len(flipped)


def test_flips_change_with_the_epoch_the_position_and_the_seed(tmp_path: Path) -> None:
    """For every image, for every position in the epoch, and for every seed."""
    epochs, count = 16, 12
    images = np.random.default_rng(0).integers(0, 255, (count, 16, 16, 3)).astype(np.uint8)
    for index, image in enumerate(images):
        (tmp_path / f"{index}.png").write_bytes(tf.io.encode_png(image).numpy())
    source = open_directory(tmp_path)
    flips = []
    for seed in (0, 1):
        plain = first_batches(source, epochs * count // 4, seed=seed)["images"]
        flipped = first_batches(source, epochs * count // 4, seed=seed, random_flip=True)["images"]
        flips.append((flipped != plain).any(axis=(1, 2, 3)).reshape(epochs, count))
        image_indices = np.unique(plain.reshape(len(plain), -1), axis=0, return_inverse=True)[1].reshape(epochs, count)
        by_image = np.take_along_axis(flips[-1], np.argsort(image_indices, axis=1), 1)
        for table in (flips[-1], by_image):
            assert table.any(axis=0).all() and not table.all(axis=0).any()
        assert 0.3 < flips[-1].mean() < 0.7
    assert (flips[0] != flips[1]).mean() > 0.3


def test_shards_get_different_images(class_directories: Path) -> None:
    source = open_directory(class_directories)
    positions = []
    for index in range(2):
        dataset = make_training_dataset(
            source, batch_size=3, seed=0, position=0, random_flip=False, shard_index=index, num_shards=2
        )
        positions.append(next(dataset.as_numpy_iterator())["positions"])
    np.testing.assert_array_equal(positions, [[0, 2, 4], [1, 3, 5]])


@pytest.mark.parametrize(("batch_size", "num_shards"), [(13, 1), (7, 2)])
def test_rejects_a_batch_larger_than_the_data_set(class_directories: Path, batch_size: int, num_shards: int) -> None:
    source = open_directory(class_directories)
    with pytest.raises(UserError, match=rf"global_batch_size: expected at most 12.*received {batch_size * num_shards}"):
        make_training_dataset(
            source, batch_size=batch_size, seed=0, position=0, random_flip=False, shard_index=0, num_shards=num_shards
        )


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


def test_too_many_damaged_images_raise_a_user_error(tmp_path: Path) -> None:
    build_class_directories(tmp_path, images_per_class=50)
    for index in range(2):
        (tmp_path / "dog" / f"{index:03d}.png").write_bytes(b"not an image")
    source = open_directory(tmp_path)
    dataset = make_training_dataset(source, batch_size=10, seed=0, position=0, random_flip=False)
    with pytest.raises(UserError, match="received 2 of 100") as caught, source.skipped.raise_user_errors():
        list(dataset.take(11))
    assert caught.value is source.skipped.error


@pytest.mark.parametrize("kind", ["folder", "tfrecord"])
def test_single_pass_gives_every_image_once(kind: str, class_directories: Path, record_files: Path) -> None:
    data_dir = {"folder": class_directories, "tfrecord": record_files}[kind]
    source = open_source(DataConfig(dataset=kind, data_dir=str(data_dir)), resolution=8, image_channels=3)
    batches = list(make_single_pass_dataset(source, batch_size=5).as_numpy_iterator())
    labels = np.concatenate([batch["labels"] for batch in batches])
    colors = np.concatenate([batch["images"] for batch in batches])[:, 4, 4]
    assert len({tuple(color) for color in colors}) == source.num_examples == len(labels)
    np.testing.assert_array_equal(np.bincount(labels), source.class_counts)


def test_packaged_data_set_takes_little_cpu_time() -> None:
    """32 pixels, batch 64: a few ms of CPU time (3 measured). The bound allows for a busy machine."""
    source = open_source(DataConfig(dataset="fashion_mnist_10k"), resolution=32, image_channels=1)
    iterator = iter(make_training_dataset(source, batch_size=64, seed=0, position=0, random_flip=False))
    next(iterator)
    start = time.process_time()
    for _ in range(50):
        next(iterator)
    assert (time.process_time() - start) / 50 < 0.015


def test_works_under_a_distribution_strategy(class_directories: Path) -> None:
    """Each input pipeline already reads its own shard; the strategy must not shard again."""
    source = open_directory(class_directories)
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")

    def make_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return make_training_dataset(source, batch_size=4, seed=0, position=0, random_flip=False)

    batch = next(iter(strategy.distribute_datasets_from_function(make_dataset)))
    np.testing.assert_array_equal(batch["positions"], range(4))


def test_autotune_is_disabled(class_directories: Path) -> None:
    """Deleting an iterator would wait for TensorFlow's autotune thread, which may sleep for seconds."""
    source = open_directory(class_directories)
    training = make_training_dataset(source, batch_size=4, seed=0, position=0, random_flip=False)
    for dataset in (training, make_single_pass_dataset(source, batch_size=4)):
        assert dataset.options().autotune.enabled is False


def test_decoding_has_a_private_thread_pool_with_gpus(class_directories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def count_threads() -> int:
        source = open_directory(class_directories)
        dataset = make_training_dataset(source, batch_size=4, seed=0, position=0, random_flip=False)
        positions = next(iter(dataset))["positions"]
        np.testing.assert_array_equal(positions, range(4))
        return dataset.options().threading.private_threadpool_size or 0

    assert count_threads() == 0
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"{kind}:0"])
    assert count_threads() == os.cpu_count()
