"""Colors that color-blind people can distinguish: a heat map's scale and marker colors."""

from __future__ import annotations

import numpy as np

MARKER_COLORS = (
    (213, 94, 0),
    (86, 180, 233),
    (240, 228, 66),
    (0, 158, 115),
    (204, 121, 167),
    (0, 114, 178),
    (230, 159, 0),
)
"""Seven colors that color-blind people can distinguish (Okabe and Ito, Color Universal Design, 2008)."""
LINE_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#332288", "#882255")
"""Six colors of lines that color-blind people can distinguish, with a contrast of at least 3 to white: those of
`MARKER_COLORS` with this contrast, and indigo and wine of the scheme "muted" (Tol, Colour Schemes, 2021)."""

# The scale viridis (van der Walt and Smith, 2015; CC0) at 17 even steps. Its brightness increases evenly, also for
# color-blind people.
_VIRIDIS = np.array(
    [
        (68, 1, 84), (72, 24, 106), (71, 45, 123), (66, 64, 134), (59, 82, 139), (51, 99, 141), (44, 114, 142),
        (38, 130, 142), (33, 145, 140), (31, 160, 136), (40, 174, 128), (63, 188, 115), (94, 201, 98), (132, 212, 75),
        (173, 220, 48), (216, 226, 25), (253, 231, 37),
    ],
    np.float64,
)  # fmt: skip


def map_to_heat_colors(values: np.ndarray) -> np.ndarray:
    """Map values from 0 (dark) to 1 (bright) to colors.

    Args:
        values: Values of any shape; values outside [0, 1] are clipped.

    Returns:
        RGB colors, uint8 [..., 3].
    """
    positions = np.clip(values, 0.0, 1.0) * (len(_VIRIDIS) - 1)
    steps = np.arange(len(_VIRIDIS))
    channels = [np.interp(positions, steps, _VIRIDIS[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
