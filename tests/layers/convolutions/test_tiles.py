"""Feature maps taken apart and put together, against NumPy's slices, and against each other as transposes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers.convolutions.tiles import Tiles, Windows, combined

KINDS = {"tiles": (Tiles, 0), "windows": (Windows, 2)}

every_kind = pytest.mark.parametrize("kind", KINDS)
every_side = pytest.mark.parametrize("side", [1, 2, 3, 4])


def make(kind: str, side: int, combinations: np.ndarray | None = None) -> Tiles | Windows:
    """By default with every location by itself."""
    layout, margin = KINDS[kind]
    return layout(side, np.eye((side + margin) ** 2) if combinations is None else combinations)


def features(side: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 2 * side, 3 * side, 5))


@every_kind
@every_side
def test_apart_is_what_stands_in_and_around_a_square(kind: str, side: int) -> None:
    x, margin = features(side), KINDS[kind][1]
    ours = make(kind, side).apart(tf.constant(x)).numpy()
    padded = np.pad(x, [(0, 0), (margin // 2, margin // 2), (margin // 2, margin // 2), (0, 0)])
    assert len(ours) == (side + margin) ** 2
    for number, (row, column) in enumerate(np.ndindex(side + margin, side + margin)):
        expected = padded[:, row : row + 2 * side : side, column : column + 3 * side : side]
        np.testing.assert_array_equal(ours[number], expected.reshape(-1, 5))


@every_kind
@every_side
def test_together_is_the_transpose(kind: str, side: int) -> None:
    """<apart(x), y> = <x, together(y)> for any combinations."""
    random = np.random.default_rng(2)
    layout = make(kind, side, random.normal(size=(7, (side + KINDS[kind][1]) ** 2)))
    x = features(side)
    apart = layout.apart(tf.constant(x)).numpy()
    y = random.normal(size=apart.shape)
    together = layout.together(tf.constant(y), *x.shape[1:3]).numpy()
    assert together.shape == x.shape and apart.shape == (7, 12, 5)
    np.testing.assert_allclose(np.sum(apart * y), np.sum(x * together), rtol=1e-10)


def test_combined() -> None:
    random = np.random.default_rng(1)
    combinations, parts = random.normal(size=(4, 9)), random.normal(size=(9, 6))
    np.testing.assert_allclose(combined(combinations, tf.constant(parts)).numpy(), combinations @ parts, rtol=1e-12)
