"""Colors and line styles of the settings of a study in its charts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sagan_tf.visualization.colors import LINE_COLORS
from sagan_tf.visualization.line_chart import LINE_STYLES
from sagan_tf.visualization.panel_chart import Style, assign_styles

_NUMBERED = re.compile(r"(.+)_(\d+)")


def choose_styles(settings: Sequence[str]) -> dict[str, Style]:
    """Choose a color and a line style for each setting.

    Settings named KIND_NUMBER, such as `attention_8` and `residual_8`, have one color for each number and one line
    style for each kind, if there are enough of both. Otherwise, the line styles differ only if the colors do not
    suffice.
    """
    parts = {name: _NUMBERED.fullmatch(name) for name in settings}
    # A number and a name that is a number, such as `32`, are different keys.
    color_keys = {name: ("number", match[2]) if match else ("name", name) for name, match in parts.items()}
    kinds = list(dict.fromkeys(match[1] for match in parts.values() if match))
    colors = list(dict.fromkeys(color_keys.values()))
    if len(colors) > len(LINE_COLORS) or len(kinds) > len(LINE_STYLES):
        return assign_styles(settings)
    return {
        name: (LINE_STYLES[kinds.index(match[1]) if match else 0], LINE_COLORS[colors.index(color_keys[name])])
        for name, match in parts.items()
    }
