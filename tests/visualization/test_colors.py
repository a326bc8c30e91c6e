"""Colours of heat and of marks."""

from __future__ import annotations

import itertools

import numpy as np

from sagan_tf.visualization.colors import MARKS, heat_colours


def luminance(colours: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB (IEC 61966-2-1), in [0, 1]."""
    share = np.asarray(colours, np.float64) / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_hotter_is_brighter() -> None:
    steps = luminance(heat_colours(np.linspace(0.0, 1.0, 65)))
    assert np.all(np.diff(steps) > 0)
    assert steps[0] < 0.03 and steps[-1] > 0.7


def test_ends_and_what_lies_beyond() -> None:
    dark, bright, middle = [68, 1, 84], [253, 231, 37], [38, 130, 142]
    colours = heat_colours(np.array([0.0, 1.0, -3.0, 3.0, 7 / 16]))
    assert colours.tolist() == [dark, bright, dark, bright, middle]
    # Between two of the scale's colours, (68, 1, 84) and (72, 24, 106).
    assert heat_colours(np.array(1 / 64)).tolist() == [69, 7, 90]


def test_any_shape() -> None:
    values = np.linspace(0.0, 1.0, 24).reshape(2, 3, 4)
    colours = heat_colours(values)
    assert colours.shape == (2, 3, 4, 3) and colours.dtype == np.uint8
    np.testing.assert_array_equal(colours[1, 2, 3], heat_colours(np.array(1.0)))
    np.testing.assert_array_equal(colours.reshape(-1, 3), heat_colours(values.ravel()))


def test_marks_differ() -> None:
    for one, other in itertools.combinations(MARKS, 2):
        assert np.linalg.norm(np.subtract(one, other)) > 40
    assert len(MARKS) == 7
