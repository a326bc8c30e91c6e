"""Where the doors' messages go: progress and notes on standard output, one plain line each."""

from __future__ import annotations

import logging
import sys


def log_to_console() -> None:
    """Shows the package's log on standard output, warnings marked as such."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Format())
    logger = logging.getLogger("sagan_tf")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class _Format(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        return message if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {message}"
