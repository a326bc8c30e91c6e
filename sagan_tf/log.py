"""The log of the package on standard output."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator

_LOGGER_NAME = "sagan_tf"
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
"""Control characters except the newline, so that a traceback keeps its lines."""


def log_to_console() -> None:
    """Write the log of the package to standard output.

    Lines of level WARNING or above start with their level.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_ConsoleFormatter())
    logger = logging.getLogger(_LOGGER_NAME)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


@contextlib.contextmanager
def show_log() -> Iterator[None]:
    """Enter a context in which the log is written to standard output, unless the program has configured the logger.

    The logger is restored at the end.
    """
    logger = logging.getLogger(_LOGGER_NAME)
    if logger.hasHandlers():
        yield
        return
    level, propagate, root_handlers = logger.level, logger.propagate, list(logging.root.handlers)
    log_to_console()
    try:
        yield
    finally:
        # At its first message, absl, which TensorFlow logs with, configures a root logger without handlers. The next
        # call would take this for a configuration of the program, and hide the log.
        if not root_handlers:
            for handler in [handler for handler in logging.root.handlers if type(handler) is logging.StreamHandler]:
                logging.root.removeHandler(handler)
        logger.handlers, logger.propagate = [], propagate
        logger.setLevel(level)


class _ConsoleFormatter(logging.Formatter):
    """A formatter that escapes control characters and marks warnings and errors."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a log record."""
        message = _CONTROL_CHARACTERS.sub(lambda match: f"\\x{ord(match[0]):02x}", super().format(record))
        return message if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {message}"
