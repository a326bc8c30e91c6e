"""Tests of colors of heat maps, markers and lines."""

from __future__ import annotations

import itertools

import numpy as np

from sagan_tf.visualization.colors import LINE_COLORS, MARKER_COLORS, map_to_heat_colors


def luminance(colors: np.ndarray) -> np.ndarray:
    """Compute the relative luminance of sRGB colors (IEC 61966-2-1), in [0, 1]."""
    share = np.asarray(colors, np.float64) / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_luminance_increases_with_heat() -> None:
    steps = luminance(map_to_heat_colors(np.linspace(0.0, 1.0, 65)))
    assert np.all(np.diff(steps) > 0)
    assert steps[0] < 0.03 and steps[-1] > 0.7


def test_limits_of_the_scale() -> None:
    dark, bright, middle = [68, 1, 84], [253, 231, 37], [38, 130, 142]
    colors = map_to_heat_colors(np.array([[0.0, 1.0, -3.0], [3.0, 7 / 16, 1.0]]))
    assert colors.dtype == np.uint8 and colors.tolist() == [[dark, bright, dark], [bright, middle, bright]]
    # Between two colors of the scale, (68, 1, 84) and (72, 24, 106).
    assert map_to_heat_colors(np.array(1 / 64)).tolist() == [69, 7, 90]


def test_marker_colors_differ() -> None:
    for first, second in itertools.combinations(MARKER_COLORS, 2):
        assert np.linalg.norm(np.subtract(first, second)) > 40
    assert len(MARKER_COLORS) == 7


def test_lines_are_visible_on_white() -> None:
    """The contrast is at least 3 (Web Content Accessibility Guidelines 2.1, 1.4.11)."""
    colors = np.array([list(bytes.fromhex(color[1:])) for color in LINE_COLORS])
    assert np.all(1.05 / (luminance(colors) + 0.05) >= 3.0)
