"""Progress bars."""

from __future__ import annotations

import sys

from tqdm import tqdm

_LOG_FILE_INTERVAL_SECONDS = 60.0
"""Time between two updates of a progress bar in a log file, which keeps every update."""


def progress_bar(
    total: int, *, unit: str, initial: int = 0, description: str | None = None, in_files: bool = False
) -> tqdm:
    """Create a progress bar: a widget in a notebook, otherwise text on standard error.

    Args:
        total: The number of units.
        unit: The name of a unit, such as `image`.
        initial: The number of units that are done already.
        description: The text before the bar.
        in_files: Whether to show the bar, once a minute, also if standard error is neither a terminal nor a notebook.

    Returns:
        The progress bar. It is a context manager, and `update` advances it.
    """
    options = {"total": total, "initial": initial, "unit": unit, "desc": description, "smoothing": 0.1}
    if _is_in_notebook():
        from tqdm.auto import tqdm as notebook_bar  # chooses the kind of bar when it is imported

        return notebook_bar(**options)
    stream = sys.stderr
    is_open = stream is not None and not stream.closed
    is_terminal = is_open and stream.isatty()
    seconds = _LOG_FILE_INTERVAL_SECONDS
    interval = {} if is_terminal else {"mininterval": seconds, "maxinterval": seconds}
    is_hidden = not (is_terminal or (in_files and is_open))
    return tqdm(disable=is_hidden, **options, **interval)


def _is_in_notebook() -> bool:
    """Return whether a kernel of Jupyter runs the program.

    IPython on a terminal shows bars like any other program.
    """
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config
