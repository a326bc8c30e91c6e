"""Layouts compared with slices in NumPy, and `merge` as the transpose of `split`."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers.convolutions.tiles import Tiles, Windows, combine

KINDS: dict[str, tuple[type[Tiles] | type[Windows], int]] = {"tiles": (Tiles, 0), "windows": (Windows, 2)}

every_kind = pytest.mark.parametrize("kind", KINDS)
every_side = pytest.mark.parametrize("side", [1, 2, 4])


def make_layout(kind: str, side: int, combinations: np.ndarray | None = None) -> Tiles | Windows:
    """Return a layout; by default, each combination is a single location."""
    layout, margin = KINDS[kind]
    return layout(side, np.eye((side + margin) ** 2) if combinations is None else combinations)


def features(side: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 2 * side, 3 * side, 5))


@every_kind
@every_side
def test_split_returns_the_locations_of_each_square(kind: str, side: int) -> None:
    x, margin = features(side), KINDS[kind][1]
    parts = make_layout(kind, side).split(tf.constant(x)).numpy()
    padded = np.pad(x, [(0, 0), (margin // 2, margin // 2), (margin // 2, margin // 2), (0, 0)])
    assert len(parts) == (side + margin) ** 2
    for number, (row, column) in enumerate(np.ndindex(side + margin, side + margin)):
        expected = padded[:, row : row + 2 * side : side, column : column + 3 * side : side]
        np.testing.assert_array_equal(parts[number], expected.reshape(-1, 5))


@every_kind
@every_side
def test_merge_is_the_transpose_of_split(kind: str, side: int) -> None:
    """<split(x), y> = <x, merge(y)> for any combinations."""
    random = np.random.default_rng(2)
    layout = make_layout(kind, side, random.normal(size=(7, (side + KINDS[kind][1]) ** 2)))
    x = features(side)
    parts = layout.split(tf.constant(x)).numpy()
    y = random.normal(size=parts.shape)
    merged = layout.merge(tf.constant(y), *x.shape[1:3]).numpy()
    assert merged.shape == x.shape and parts.shape == (7, 12, 5)
    np.testing.assert_allclose(np.sum(parts * y), np.sum(x * merged), rtol=1e-10)


def test_combine() -> None:
    random = np.random.default_rng(1)
    combinations, parts = random.normal(size=(4, 9)), random.normal(size=(9, 6))
    np.testing.assert_allclose(combine(combinations, tf.constant(parts)).numpy(), combinations @ parts, rtol=1e-12)
