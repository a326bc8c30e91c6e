"""Tests of sheets: the position of each image."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator
from sagan_tf.sampling import sheets
from tests.sampling.tiny_generator import make_sample_options, make_tiny_generator, read_tiles


@pytest.fixture(scope="module")
def generator() -> Generator:
    return make_tiny_generator()


@pytest.fixture(scope="module")
def plain() -> Generator:
    return make_tiny_generator(conditioning="none")


def make_images(generator: Generator, seeds: list[int], labels: list[int], truncation: object = math.inf) -> np.ndarray:
    return generator.images_from_seeds(np.array(seeds), np.array(labels), truncation)[..., 0]


def assert_equal_images(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare images up to one gray level, because batches of different sizes may be rounded differently."""
    assert np.abs(found.reshape(-1, 32, 32).astype(int) - expected).max() <= 1


def message(make: object, generator: Generator, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        make(generator, make_sample_options(**options))
    return str(caught.value)


def test_a_grid_has_one_row_per_class(generator: Generator) -> None:
    found = read_tiles(sheets.make_grid(generator, make_sample_options(seed=4, columns=2)), 3, 2)
    assert_equal_images(found, make_images(generator, [4, 5] * 3, [0, 0, 1, 1, 2, 2]))
    chosen = make_sample_options(seed=4, columns=2, labels=("cherry", "0"), truncation=0.5)
    assert_equal_images(
        read_tiles(sheets.make_grid(generator, chosen), 2, 2), make_images(generator, [4, 5] * 2, [2, 2, 0, 0], 0.5)
    )
    fewer = read_tiles(sheets.make_grid(generator, make_sample_options(columns=2, num_samples=2)), 2, 2)
    assert_equal_images(fewer, make_images(generator, [0, 1] * 2, [0, 0, 1, 1]))


def test_a_grid_without_classes(plain: Generator) -> None:
    found = read_tiles(sheets.make_grid(plain, make_sample_options(seed=4, columns=2)), 2, 2)
    assert_equal_images(found, make_images(plain, [4, 5, 6, 7], [0] * 4))
    assert_equal_images(
        read_tiles(sheets.make_grid(plain, make_sample_options(columns=2, num_samples=1)), 1, 2),
        make_images(plain, [0, 1], [0, 0]),
    )
    assert message(sheets.make_grid, plain, labels=("1",)).startswith("labels: the generator has no classes")


def test_classes(generator: Generator, plain: Generator) -> None:
    """Each class has one image, enlarged to 96 pixels, and a caption; unused tiles are white."""
    found = read_tiles(
        sheets.make_class_sheet(generator, make_sample_options(seed=7, columns=2)), 2, 2, factor=3, line=18
    )
    assert_equal_images(found.reshape(4, 32, 32)[:3], make_images(generator, [7] * 3, [0, 1, 2]))
    assert np.all(found[1, 1] == 255)
    one = read_tiles(
        sheets.make_class_sheet(generator, make_sample_options(labels=("banana",))), 1, 1, factor=3, line=18
    )
    assert_equal_images(one, make_images(generator, [0], [1]))
    assert message(sheets.make_class_sheet, plain).startswith("mode: ")


def test_truncations(generator: Generator, plain: Generator) -> None:
    found = read_tiles(
        sheets.make_truncation_sheet(
            generator, make_sample_options(mode="truncation", seed=3, truncations=(0.5, math.inf))
        ),
        3,
        2,
    )
    assert_equal_images(found, make_images(generator, [3] * 6, [0, 0, 1, 1, 2, 2], np.tile([0.5, math.inf], 3)))
    found = read_tiles(
        sheets.make_truncation_sheet(plain, make_sample_options(mode="truncation", seed=3, num_samples=2)), 2, 8
    )
    values = (math.inf, 2.0, 1.5, 1.0, 0.75, 0.5, 0.25, 0.0)
    assert_equal_images(found, make_images(plain, [3] * 8 + [4] * 8, [0] * 16, np.tile(values, 2)))
    assert_equal_images(found[0, 7], found[1, 7].astype(int))  # truncation 0 gives the mean for every seed


def test_interpolation_between_seeds(generator: Generator, plain: Generator) -> None:
    found = read_tiles(sheets.make_interpolation_sheet(generator, make_sample_options(seed=3, columns=4)), 3, 4)
    assert_equal_images(found[:, 0], make_images(generator, [3] * 3, [0, 1, 2]))
    assert_equal_images(found[:, 3], make_images(generator, [4] * 3, [0, 1, 2]))
    assert np.abs(np.diff(found.astype(int), axis=1)).max(axis=(2, 3)).min() > 1
    rows = read_tiles(
        sheets.make_interpolation_sheet(plain, make_sample_options(seed=3, columns=2, num_samples=2)), 2, 2
    )
    assert_equal_images(rows, make_images(plain, [3, 4, 5, 6], [0] * 4))


def test_interpolation_between_classes(generator: Generator) -> None:
    options = make_sample_options(
        mode="interpolation", seed=3, columns=3, num_samples=2, between="classes", labels=("2", "0", "1")
    )
    found = read_tiles(sheets.make_interpolation_sheet(generator, options), 2, 5)
    for column, label in ((0, 2), (2, 0), (4, 1)):
        assert_equal_images(found[:, column], make_images(generator, [3, 4], [label] * 2))
    for column in (1, 3):
        for label in range(3):
            assert np.abs(found[:, column].astype(int) - make_images(generator, [3, 4], [label] * 2)).max() > 5


def test_invalid_interpolation_between_classes(generator: Generator, plain: Generator) -> None:
    between = {"mode": "interpolation", "between": "classes"}
    assert message(sheets.make_interpolation_sheet, generator, labels=("apple",), **between).startswith("labels: ")
    assert message(sheets.make_interpolation_sheet, plain, **between).startswith("labels: ")
    export = dataclasses.replace(generator, network=None, config=None)
    found = message(sheets.make_interpolation_sheet, export, **between)
    assert found.startswith("saved_model: ") and "--between=classes" in found


def test_sheets_that_are_too_large(generator: Generator) -> None:
    found = message(sheets.make_grid, generator, columns=1000)
    assert found.startswith("output: ") and "1000 x 3 images of 32 px" in found
    for make, options in (
        (sheets.make_interpolation_sheet, {"columns": 1000}),
        (sheets.make_interpolation_sheet, {"mode": "interpolation", "columns": 1000, "between": "classes"}),
        (sheets.make_truncation_sheet, {"mode": "truncation", "truncations": (1.0,) * 1000}),
    ):
        assert message(make, generator, **options).startswith("output: ")


def test_spherical_interpolation() -> None:
    start, end = np.array([3.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    path = sheets.interpolate_spherically(start, end, 3)
    assert path.dtype == np.float32
    np.testing.assert_allclose(path, [[3, 0, 0], [math.sqrt(2), math.sqrt(2), 0], [0, 1, 0]], atol=1e-6)
    random = np.random.default_rng(0).normal(size=(2, 64))
    path = sheets.interpolate_spherically(*random, 9).astype(np.float64)
    np.testing.assert_allclose(path[[0, -1]], random, atol=1e-6)
    lengths = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(np.diff(lengths, 2), 0.0, atol=1e-5)
    cosines = np.sum(path[1:] * path[:-1], axis=1) / lengths[1:] / lengths[:-1]
    assert np.ptp(np.arccos(cosines)) < 1e-5  # equal angles between successive latents


def test_spherical_interpolation_without_a_unique_great_circle() -> None:
    start = np.array([1.0, 2.0])
    np.testing.assert_allclose(sheets.interpolate_spherically(start, -start, 3), [start, 0 * start, -start], atol=1e-6)
    np.testing.assert_allclose(
        sheets.interpolate_spherically(start, 2 * start, 3), [start, 1.5 * start, 2 * start], atol=1e-6
    )
    np.testing.assert_array_equal(sheets.interpolate_spherically(start, -start, 1), [start])


def test_selected_labels(generator: Generator, plain: Generator) -> None:
    many = dataclasses.replace(generator, num_classes=1000, class_names=())
    assert sheets.select_labels(many, make_sample_options()) == list(range(0, 1000, 100))
    assert sheets.select_labels(many, make_sample_options(num_samples=2)) == [0, 500]
    assert sheets.select_labels(many, make_sample_options(labels=("999", "3"))) == [999, 3]
    assert sheets.select_labels(generator, make_sample_options()) == [0, 1, 2]
    assert sheets.select_labels(plain, make_sample_options()) == []
