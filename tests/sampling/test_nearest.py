"""Tests of nearest training images, against brute force and for a generator that repeats them."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import Config, DataConfig, EvaluationConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator
from sagan_tf.sampling import nearest
from sagan_tf.sampling.nearest import NearestNeighbors, find_likely_copies, make_nearest_sheet
from tests.sampling.tiny_generator import make_sample_options, read_tiles
from tests.training.tiny import tiny_config


@pytest.mark.parametrize("sizes", [[40], [1] * 40, [7, 1, 30, 2], [3, 37]])
@pytest.mark.parametrize("count", [1, 5, 40, 50])
def test_neighbors_match_brute_force(sizes, count):
    """Among images at equal distance, the first ones are kept."""
    random = np.random.default_rng(0)
    few, many = (random.integers(0, 3, (number, 4)).astype(np.float32) for number in (6, 40))
    found, start = NearestNeighbors(few, count), 0
    for size in sizes:
        part = slice(start, start + size)
        found.add(many[part], np.arange(start, start + size, dtype=np.int32))
        start += size
    distances = np.linalg.norm(few[:, np.newaxis].astype(np.float64) - many, axis=2)
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(found.labels, order)
    np.testing.assert_array_equal(found.positions, order)
    np.testing.assert_allclose(found.distances, np.take_along_axis(distances, order, 1), atol=1e-12)


def config(**evaluation: Any) -> Config:
    """Make the configuration of a run with the packaged images of Fashion-MNIST."""
    given = EvaluationConfig(extractor="fashion_mnist", metrics=("fcd",), **evaluation)
    tiny = tiny_config(num_classes=10, dataset="fashion_mnist_10k")
    return dataclasses.replace(tiny, evaluation=given, data=DataConfig(dataset="fashion_mnist_10k"))


@pytest.fixture
def few_images(monkeypatch):
    """Replace the training data by 250 images, uint8 [250, 32, 32, 1]."""
    source = open_source(DataConfig(dataset="fashion_mnist_10k"), resolution=32, image_channels=1)
    batch = next(nearest.make_single_pass_dataset(source, batch_size=250).as_numpy_iterator())
    images, labels = batch["images"], batch["labels"]

    def make_dataset(source: object, batch_size: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices({"images": images, "labels": labels}).batch(batch_size)

    monkeypatch.setattr(nearest, "make_single_pass_dataset", make_dataset)
    return images


def make_repeating_generator(images: np.ndarray, **options: Any) -> Generator:
    """Make a generator whose label is the index of the training image that it makes."""

    def function(latents: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.constant(images.astype(np.float32) / 127.5 - 1.0), labels)

    return Generator("repeating", 5, len(images), (), (32, 32, 1), "", function, config=options.get("config", config()))


def test_repeated_training_images_are_found(few_images, monkeypatch):
    created: list[NearestNeighbors] = []

    def create(*arguments: Any) -> NearestNeighbors:
        created.append(NearestNeighbors(*arguments))
        return created[-1]

    monkeypatch.setattr(nearest, "NearestNeighbors", create)
    options = make_sample_options(mode="nearest", labels=("3", "249", "120"), num_samples=3, columns=3)
    found = read_tiles(make_nearest_sheet(make_repeating_generator(few_images), options), 3, 3, factor=3, line=18)
    for row, number in enumerate((3, 249, 120)):
        np.testing.assert_array_equal(found[row, 0], few_images[number][..., 0])
        np.testing.assert_array_equal(found[row, 1], few_images[number][..., 0])
        assert np.any(found[row, 2] != found[row, 1])
    (neighbors,) = created
    assert neighbors.distances[:, 0].max() < 1e-3 < neighbors.distances[:, 1].min()


def test_invalid_options(few_images, monkeypatch):
    def read_error(generator: Generator, **options: Any) -> str:
        with pytest.raises(UserError) as caught:
            make_nearest_sheet(generator, make_sample_options(mode="nearest", **options))
        return str(caught.value)

    generator = make_repeating_generator(few_images)
    assert "5000 x 8" in read_error(generator, columns=5000)
    assert read_error(generator, candidates=7).startswith("candidates: ")
    few = tf.data.Dataset.from_tensors({"images": few_images[:3], "labels": np.zeros(3, np.int32)})
    monkeypatch.setattr(nearest, "make_single_pass_dataset", lambda source, batch_size: few)
    assert read_error(generator, columns=5, num_samples=1).startswith("columns: ")


def test_copies_are_likelier_than_images_near_many_training_images():
    """The order does not depend on the density: the second row has the smallest distance, and is not a copy."""
    rows = [[1.0, 1.2, 1.3], [0.1, 0.1, 0.1], [0.2, 5.0, 6.0], [0.0, 0.0, 0.0]]
    assert find_likely_copies(np.array(rows)).tolist() == [3, 2, 0, 1]
    assert find_likely_copies(np.array([[2.0], [1.0]])).tolist() == [1, 0]


def test_the_likeliest_copies_among_candidates_are_shown(few_images, caplog):
    """The generator repeats two training images, and makes noise from all other labels."""
    random = np.random.default_rng(3)
    made: np.ndarray = random.integers(0, 256, few_images.shape, np.uint8)
    made[[7, 31]] = few_images[[200, 100]]
    options = make_sample_options(mode="nearest", candidates=40, num_samples=2, columns=3)
    with caplog.at_level("INFO", "sagan_tf"):
        sheet = make_nearest_sheet(make_repeating_generator(made), options)
    found = read_tiles(sheet, 2, 3, factor=3, line=18)
    for row in range(2):
        np.testing.assert_array_equal(found[row, 0], found[row, 1])
    shown = sorted(found[:, 0].sum((1, 2)).tolist())
    assert shown == sorted(few_images[[100, 200], ..., 0].sum((1, 2)).tolist())
    assert "seeds 7, 31" in caplog.text or "seeds 31, 7" in caplog.text
