"""A chart of a study with its caption."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        svg: The <svg> element; empty if there is nothing to draw.
        caption: What it shows, and which settings or runs it lacks.
    """

    svg: str
    caption: str
