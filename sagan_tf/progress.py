"""Progress bars."""

from __future__ import annotations

import sys

from tqdm import tqdm

_SECONDS_IN_FILES = 60.0
"""Seconds between updates of a progress bar in a log file, which keeps every update."""


def progress_bar(
    total: int, *, unit: str, initial: int = 0, description: str | None = None, in_files: bool = False
) -> tqdm:
    """Return a progress bar on standard error.

    Args:
        total: Number of units.
        unit: Name of a unit.
        initial: Number of units that are done already.
        description: Text before the bar.
        in_files: Whether the bar is also shown where standard error is not a terminal, once a minute.
    """
    stream = sys.stderr
    is_open = stream is not None and not stream.closed
    is_terminal = is_open and stream.isatty()
    interval = {} if is_terminal else {"mininterval": _SECONDS_IN_FILES, "maxinterval": _SECONDS_IN_FILES}
    hidden = not (is_terminal or (in_files and is_open))
    return tqdm(total=total, initial=initial, unit=unit, desc=description, smoothing=0.1, disable=hidden, **interval)
