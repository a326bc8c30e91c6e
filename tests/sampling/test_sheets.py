"""Tests of sheets: the position of each image."""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator
from sagan_tf.sampling import sheets
from sagan_tf.sampling.options import SampleOptions
from tests.sampling.tiny_generator import make_sample_options, make_tiny_generator, read_tiles

Make = Callable[[Generator, SampleOptions], Image.Image]


@pytest.fixture(scope="module")
def generator():
    return make_tiny_generator()


@pytest.fixture(scope="module")
def plain():
    return make_tiny_generator(conditioning="none")


def make_images(generator: Generator, seeds: list[int], labels: list[int], truncation: Any = math.inf) -> np.ndarray:
    return generator.images_from_seeds(np.array(seeds), np.array(labels), truncation)[..., 0]


def assert_equal_images(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare images up to one gray level, because batches of different sizes may be rounded differently."""
    assert np.abs(found.reshape(-1, 32, 32).astype(int) - expected).max() <= 1


def read_sheet(make: Make, generator: Generator, rows: int, columns: int, /, **options: Any) -> np.ndarray:
    """Make a sheet and read its images, uint8 [rows, columns, 32, 32]."""
    size = {"factor": 3, "line": 18} if make is sheets.make_class_sheet else {}
    return read_tiles(make(generator, make_sample_options(**options)), rows, columns, **size)


def read_error(make: Make, generator: Generator, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        make(generator, make_sample_options(**options))
    return str(caught.value)


def test_a_grid_has_one_row_per_class(generator):
    found = read_sheet(sheets.make_grid, generator, 3, 2, seed=4, columns=2)
    assert_equal_images(found, make_images(generator, [4, 5] * 3, [0, 0, 1, 1, 2, 2]))
    chosen = read_sheet(sheets.make_grid, generator, 2, 2, seed=4, columns=2, labels=("cherry", "0"), truncation=0.5)
    assert_equal_images(chosen, make_images(generator, [4, 5] * 2, [2, 2, 0, 0], 0.5))
    fewer = read_sheet(sheets.make_grid, generator, 2, 2, columns=2, num_samples=2)
    assert_equal_images(fewer, make_images(generator, [0, 1] * 2, [0, 0, 1, 1]))


def test_a_grid_without_classes(plain):
    found = read_sheet(sheets.make_grid, plain, 2, 2, seed=4, columns=2)
    assert_equal_images(found, make_images(plain, [4, 5, 6, 7], [0] * 4))
    found = read_sheet(sheets.make_grid, plain, 1, 2, columns=2, num_samples=1)
    assert_equal_images(found, make_images(plain, [0, 1], [0, 0]))
    assert read_error(sheets.make_grid, plain, labels=("1",)).startswith("labels: ")


def test_classes(generator, plain):
    """Each class has one image, enlarged to 96 pixels, and a caption; unused tiles are white."""
    found = read_sheet(sheets.make_class_sheet, generator, 2, 2, seed=7, columns=2)
    assert_equal_images(found.reshape(4, 32, 32)[:3], make_images(generator, [7] * 3, [0, 1, 2]))
    assert np.all(found[1, 1] == 255)
    one = read_sheet(sheets.make_class_sheet, generator, 1, 1, labels=("banana",))
    assert_equal_images(one, make_images(generator, [0], [1]))
    assert read_error(sheets.make_class_sheet, plain).startswith("mode: ")


def test_truncations(generator, plain):
    options = {"mode": "truncation", "seed": 3}
    found = read_sheet(sheets.make_truncation_sheet, generator, 3, 2, **options, truncations=(0.5, math.inf))
    assert_equal_images(found, make_images(generator, [3] * 6, [0, 0, 1, 1, 2, 2], np.tile([0.5, math.inf], 3)))
    found = read_sheet(sheets.make_truncation_sheet, plain, 2, 8, **options, num_samples=2)
    values = (math.inf, 2.0, 1.5, 1.0, 0.75, 0.5, 0.25, 0.0)
    assert_equal_images(found, make_images(plain, [3] * 8 + [4] * 8, [0] * 16, np.tile(values, 2)))
    assert_equal_images(found[0, 7], found[1, 7].astype(int))  # truncation 0 gives the mean for every seed


def test_interpolation_between_seeds(generator, plain):
    found = read_sheet(sheets.make_interpolation_sheet, generator, 3, 4, seed=3, columns=4)
    assert_equal_images(found[:, 0], make_images(generator, [3] * 3, [0, 1, 2]))
    assert_equal_images(found[:, 3], make_images(generator, [4] * 3, [0, 1, 2]))
    assert np.abs(np.diff(found.astype(int), axis=1)).max(axis=(2, 3)).min() > 1
    rows = read_sheet(sheets.make_interpolation_sheet, plain, 2, 2, seed=3, columns=2, num_samples=2)
    assert_equal_images(rows, make_images(plain, [3, 4, 5, 6], [0] * 4))


BETWEEN_CLASSES: dict[str, Any] = {"mode": "interpolation", "between": "classes"}


def test_interpolation_between_classes(generator):
    options = BETWEEN_CLASSES | {"seed": 3, "columns": 3, "num_samples": 2, "labels": ("2", "0", "1")}
    found = read_sheet(sheets.make_interpolation_sheet, generator, 2, 5, **options)
    for column, label in ((0, 2), (2, 0), (4, 1)):
        assert_equal_images(found[:, column], make_images(generator, [3, 4], [label] * 2))
    for column in (1, 3):
        for label in range(3):
            assert np.abs(found[:, column].astype(int) - make_images(generator, [3, 4], [label] * 2)).max() > 5


def test_sheets_that_are_too_large(generator):
    cases: list[tuple[Make, dict[str, Any]]] = [
        (sheets.make_grid, {"columns": 1000}),
        (sheets.make_interpolation_sheet, {"columns": 1000}),
        (sheets.make_interpolation_sheet, BETWEEN_CLASSES | {"columns": 1000}),
        (sheets.make_truncation_sheet, {"mode": "truncation", "truncations": (1.0,) * 1000}),
    ]
    for make, options in cases:
        found = read_error(make, generator, **options)
        assert found.startswith("output: ") and re.search(r"\d{4} x \d ", found)


def test_spherical_interpolation():
    start, end = np.array([3.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    path = sheets.interpolate_spherically(start, end, 3)
    assert path.dtype == np.float32
    np.testing.assert_allclose(path, [[3, 0, 0], [math.sqrt(2), math.sqrt(2), 0], [0, 1, 0]], atol=1e-6)
    random = np.random.default_rng(0).normal(size=(2, 64))
    path = sheets.interpolate_spherically(random[0], random[1], 9).astype(np.float64)
    np.testing.assert_allclose(path[[0, -1]], random, atol=1e-6)
    lengths = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(np.diff(lengths, 2), 0.0, atol=1e-5)
    cosines = np.sum(path[1:] * path[:-1], axis=1) / lengths[1:] / lengths[:-1]
    assert np.ptp(np.arccos(cosines)) < 1e-5  # equal angles between successive latents


def test_spherical_interpolation_without_a_unique_great_circle():
    start = np.array([1.0, 2.0])
    for end, middle in ((-start, 0 * start), (2 * start, 1.5 * start)):
        np.testing.assert_allclose(sheets.interpolate_spherically(start, end, 3), [start, middle, end], atol=1e-6)
    np.testing.assert_array_equal(sheets.interpolate_spherically(start, -start, 1), [start])


def test_selected_labels(generator, plain):
    many = dataclasses.replace(generator, num_classes=1000, class_names=())
    assert sheets.select_labels(many, make_sample_options()) == list(range(0, 1000, 100))
    assert sheets.select_labels(many, make_sample_options(num_samples=2)) == [0, 500]
    assert sheets.select_labels(many, make_sample_options(labels=("999", "3"))) == [999, 3]
    assert sheets.select_labels(generator, make_sample_options()) == [0, 1, 2]
    assert sheets.select_labels(plain, make_sample_options()) == []
