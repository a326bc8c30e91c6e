"""Sheets: which picture is where."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator
from sagan_tf.sampling import sheets
from tests.sampling.tiny_generator import sample_options, tiles, tiny_generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    return tiny_generator()


@pytest.fixture(scope="module")
def plain() -> Generator:
    return tiny_generator(conditioning="none")


def expected(generator: Generator, seeds: list[int], labels: list[int], truncation: object = math.inf) -> np.ndarray:
    return generator.of_seeds(np.array(seeds), np.array(labels), truncation)[..., 0]


def assert_same(found: np.ndarray, wanted: np.ndarray) -> None:
    """But for a grey level: batches of another size may be rounded otherwise."""
    assert np.abs(found.reshape(-1, 32, 32).astype(int) - wanted).max() <= 1


def message(make: object, generator: Generator, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        make(generator, sample_options(**options))
    return str(caught.value)


def test_a_grid_has_a_row_a_class(generator: Generator) -> None:
    found = tiles(sheets.grid(generator, sample_options(seed=4, columns=2)), 3, 2)
    assert_same(found, expected(generator, [4, 5] * 3, [0, 0, 1, 1, 2, 2]))
    chosen = sample_options(seed=4, columns=2, labels=("cherry", "0"), truncation=0.5)
    assert_same(tiles(sheets.grid(generator, chosen), 2, 2), expected(generator, [4, 5] * 2, [2, 2, 0, 0], 0.5))
    fewer = tiles(sheets.grid(generator, sample_options(columns=2, num_samples=2)), 2, 2)
    assert_same(fewer, expected(generator, [0, 1] * 2, [0, 0, 1, 1]))


def test_a_grid_without_classes(plain: Generator) -> None:
    found = tiles(sheets.grid(plain, sample_options(seed=4, columns=2)), 2, 2)
    assert_same(found, expected(plain, [4, 5, 6, 7], [0] * 4))
    assert_same(
        tiles(sheets.grid(plain, sample_options(columns=2, num_samples=1)), 1, 2), expected(plain, [0, 1], [0, 0])
    )
    assert message(sheets.grid, plain, labels=("1",)).startswith("labels: expected none, since the generator has no ")


def test_classes(generator: Generator, plain: Generator) -> None:
    """One picture each, enlarged to 96 pixels and with a line for its name; what is left over is white."""
    found = tiles(sheets.classes(generator, sample_options(seed=7, columns=2)), 2, 2, factor=3, line=18)
    assert_same(found.reshape(4, 32, 32)[:3], expected(generator, [7] * 3, [0, 1, 2]))
    assert np.all(found[1, 1] == 255)
    one = tiles(sheets.classes(generator, sample_options(labels=("banana",))), 1, 1, factor=3, line=18)
    assert_same(one, expected(generator, [0], [1]))
    assert message(sheets.classes, plain) == "mode: expected a generator with classes for classes, received one without"


def test_truncations(generator: Generator, plain: Generator) -> None:
    found = tiles(
        sheets.truncation(generator, sample_options(mode="truncation", seed=3, truncations=(0.5, math.inf))), 3, 2
    )
    assert_same(found, expected(generator, [3] * 6, [0, 0, 1, 1, 2, 2], np.tile([0.5, math.inf], 3)))
    found = tiles(sheets.truncation(plain, sample_options(mode="truncation", seed=3, num_samples=2)), 2, 8)
    values = (math.inf, 2.0, 1.5, 1.0, 0.75, 0.5, 0.25, 0.0)
    assert_same(found, expected(plain, [3] * 8 + [4] * 8, [0] * 16, np.tile(values, 2)))
    assert_same(found[0, 7], found[1, 7].astype(int))  # the mean is the same for every seed


def test_from_seed_to_seed(generator: Generator, plain: Generator) -> None:
    found = tiles(sheets.interpolation(generator, sample_options(seed=3, columns=4)), 3, 4)
    assert_same(found[:, 0], expected(generator, [3] * 3, [0, 1, 2]))
    assert_same(found[:, 3], expected(generator, [4] * 3, [0, 1, 2]))
    assert np.abs(np.diff(found.astype(int), axis=1)).max(axis=(2, 3)).min() > 1
    rows = tiles(sheets.interpolation(plain, sample_options(seed=3, columns=2, num_samples=2)), 2, 2)
    assert_same(rows, expected(plain, [3, 4, 5, 6], [0] * 4))


def test_from_class_to_class(generator: Generator) -> None:
    options = sample_options(
        mode="interpolation", seed=3, columns=3, num_samples=2, between="classes", labels=("2", "0", "1")
    )
    found = tiles(sheets.interpolation(generator, options), 2, 5)
    for place, label in ((0, 2), (2, 0), (4, 1)):
        assert_same(found[:, place], expected(generator, [3, 4], [label] * 2))
    for place in (1, 3):
        for label in range(3):
            assert np.abs(found[:, place].astype(int) - expected(generator, [3, 4], [label] * 2)).max() > 5


def test_what_has_no_classes_to_go_between(generator: Generator, plain: Generator) -> None:
    between = {"mode": "interpolation", "between": "classes"}
    few = "labels: expected at least two classes to go between, received 1"
    assert message(sheets.interpolation, generator, labels=("apple",), **between) == few
    assert message(sheets.interpolation, plain, **between) == few
    export = dataclasses.replace(generator, network=None, config=None)
    found = message(sheets.interpolation, export, **between)
    assert found == "saved_model: expected --run_dir for interpolation between classes, received an export"


def test_sheets_that_nobody_could_open(generator: Generator) -> None:
    found = message(sheets.grid, generator, columns=1000)
    assert found.startswith(
        "output: expected a sheet that can be opened, received 1000 x 3 pictures of 32 px; ask for "
    )
    for make, options in (
        (sheets.interpolation, {"columns": 1000}),
        (sheets.interpolation, {"mode": "interpolation", "columns": 1000, "between": "classes"}),
        (sheets.truncation, {"mode": "truncation", "truncations": (1.0,) * 1000}),
    ):
        assert message(make, generator, **options).startswith("output: expected a sheet that can be opened, received ")


def test_paths_on_a_sphere() -> None:
    start, end = np.array([3.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    path = sheets.spherical_path(start, end, 3)
    assert path.dtype == np.float32
    np.testing.assert_allclose(path, [[3, 0, 0], [math.sqrt(2), math.sqrt(2), 0], [0, 1, 0]], atol=1e-6)
    random = np.random.default_rng(0).normal(size=(2, 64))
    path = sheets.spherical_path(*random, 9).astype(np.float64)
    np.testing.assert_allclose(path[[0, -1]], random, atol=1e-6)
    lengths = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(np.diff(lengths, 2), 0.0, atol=1e-5)
    cosines = np.sum(path[1:] * path[:-1], axis=1) / lengths[1:] / lengths[:-1]
    assert np.ptp(np.arccos(cosines)) < 1e-5  # as far from each to the next


def test_paths_where_there_is_no_one_way() -> None:
    start = np.array([1.0, 2.0])
    np.testing.assert_allclose(sheets.spherical_path(start, -start, 3), [start, 0 * start, -start], atol=1e-6)
    np.testing.assert_allclose(sheets.spherical_path(start, 2 * start, 3), [start, 1.5 * start, 2 * start], atol=1e-6)
    np.testing.assert_array_equal(sheets.spherical_path(start, -start, 1), [start])


def test_shown_labels(generator: Generator, plain: Generator) -> None:
    many = dataclasses.replace(generator, num_classes=1000, class_names=())
    assert sheets.shown_labels(many, sample_options()) == list(range(0, 1000, 100))
    assert sheets.shown_labels(many, sample_options(num_samples=2)) == [0, 500]
    assert sheets.shown_labels(many, sample_options(labels=("999", "3"))) == [999, 3]
    assert sheets.shown_labels(generator, sample_options()) == [0, 1, 2]
    assert sheets.shown_labels(plain, sample_options()) == []
