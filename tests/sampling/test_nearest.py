"""The nearest training images: against brute force, and found again where a generator repeats them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import Config, DataConfig, EvaluationConfig
from sagan_tf.data.sources.packaged import load_arrays
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator
from sagan_tf.sampling import nearest as module
from sagan_tf.sampling.nearest import Neighbours, nearest
from tests.sampling.tiny_generator import sample_options, tiles
from tests.training.tiny import tiny_config


@pytest.mark.parametrize("sizes", [[40], [1] * 40, [7, 1, 30, 2], [3, 37]])
@pytest.mark.parametrize("count", [1, 5, 40, 50])
def test_neighbours_are_those_of_brute_force(sizes: list[int], count: int) -> None:
    """Of many that are equally far, the first ones to pass by."""
    random = np.random.default_rng(0)
    few, many = (random.integers(0, 3, (number, 4)).astype(np.float32) for number in (6, 40))
    images = random.integers(0, 256, (40, 2, 3, 1), np.uint8)
    found, start = Neighbours(few, count), 0
    for size in sizes:
        part = slice(start, start + size)
        found.add(images[part], many[part], np.arange(start, start + size, dtype=np.int32))
        start += size
    distances = np.linalg.norm(few[:, np.newaxis].astype(np.float64) - many, axis=2)
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(found.labels, order)
    np.testing.assert_array_equal(found.images, images[order])
    np.testing.assert_allclose(found.distances, np.take_along_axis(distances, order, 1), atol=1e-12)


def config(**evaluation: Any) -> Config:
    """Of a run with the first 300 of Fashion-MNIST's packaged images."""
    given = EvaluationConfig(extractor="fashion_mnist", metrics=("fcd",), **evaluation)
    tiny = tiny_config(num_classes=10, dataset="fashion_mnist_10k")
    return dataclasses.replace(tiny, evaluation=given, data=DataConfig(dataset="fashion_mnist_10k"))


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Training images uint8 [250, 32, 32, 1], which the mode sees alone."""
    source = open_source(DataConfig(dataset="fashion_mnist_10k"), resolution=32, image_channels=1)
    batch = next(module.single_pass_dataset(source, batch_size=250).as_numpy_iterator())
    images, labels = batch["images"], batch["labels"]

    def first(source: object, batch_size: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices({"images": images, "labels": labels}).batch(batch_size)

    monkeypatch.setattr(module, "single_pass_dataset", first)
    return images


def repeating(images: np.ndarray, **options: Any) -> Generator:
    """A generator of training images: that whose number is the label."""

    def function(latents: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.constant(images.astype(np.float32) / 127.5 - 1.0), labels)

    return Generator("repeating", 5, len(images), (), (32, 32, 1), "", function, config=options.get("config", config()))


def test_training_images_are_found_again(few_images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Neighbours] = []
    monkeypatch.setattr(module, "Neighbours", lambda *given: kept.append(Neighbours(*given)) or kept[-1])
    options = sample_options(mode="nearest", labels=("3", "249", "120"), num_samples=3, columns=3)
    found = tiles(nearest(repeating(few_images), options), 3, 3, factor=3, line=18)
    for row, number in enumerate((3, 249, 120)):
        np.testing.assert_array_equal(found[row, 0], few_images[number][..., 0])
        np.testing.assert_array_equal(found[row, 1], few_images[number][..., 0])
        assert np.any(found[row, 2] != found[row, 1])
    (neighbours,) = kept
    assert neighbours.distances[:, 0].max() < 1e-3 < neighbours.distances[:, 1].min()


def test_what_does_not_do(few_images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def message(generator: Generator, **options: Any) -> str:
        with pytest.raises(UserError) as caught:
            nearest(generator, sample_options(mode="nearest", **options))
        return str(caught.value)

    generator = repeating(few_images)
    assert message(generator, columns=1) == "columns: expected at least 2 for nearest, received 1"
    assert message(generator, columns=5000).startswith(
        "output: expected a sheet that can be opened, received 5000 x 8 "
    )
    export = dataclasses.replace(generator, config=None)
    assert message(export) == "saved_model: expected --run_dir for mode nearest, received an export"
    assert message(generator, extractor="nowhere").startswith("extractor: expected inception, fashion_mnist, ")
    few = {"images": few_images[:3], "labels": np.zeros(3, np.int32)}
    monkeypatch.setattr(module, "single_pass_dataset", lambda source, batch_size: tf.data.Dataset.from_tensors(few))
    found = message(generator, columns=5, num_samples=1)
    assert found == "columns: expected at most 4 for so few training images"


def test_packaged_images_are_those_that_are_seen() -> None:
    """Every one of them, so that no training image could hide."""
    images, labels, _ = load_arrays("train")
    source = open_source(DataConfig(dataset="fashion_mnist_10k"), resolution=32, image_channels=1)
    assert source.num_examples == len(images) == len(labels)
