"""Colours that everyone can tell apart: a heat map's scale and marks for a few things."""

from __future__ import annotations

import numpy as np

MARKS = ((213, 94, 0), (86, 180, 233), (240, 228, 66), (0, 158, 115), (204, 121, 167), (0, 114, 178), (230, 159, 0))
"""Seven colours that differ for colour-blind people too (Okabe and Ito, Color Universal Design, 2008)."""

# The scale viridis (van der Walt and Smith, 2015; CC0) at 17 even steps: evenly brighter, whatever colours one sees.
_VIRIDIS = np.array(
    [
        (68, 1, 84), (72, 24, 106), (71, 45, 123), (66, 64, 134), (59, 82, 139), (51, 99, 141), (44, 114, 142),
        (38, 130, 142), (33, 145, 140), (31, 160, 136), (40, 174, 128), (63, 188, 115), (94, 201, 98), (132, 212, 75),
        (173, 220, 48), (216, 226, 25), (253, 231, 37),
    ],
    np.float64,
)  # fmt: skip


def heat_colours(values: np.ndarray) -> np.ndarray:
    """Colours of values from 0 (dark) to 1 (bright), any shape; returns uint8 [..., 3]."""
    places = np.clip(values, 0.0, 1.0) * (len(_VIRIDIS) - 1)
    steps = np.arange(len(_VIRIDIS))
    channels = [np.interp(places, steps, _VIRIDIS[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
