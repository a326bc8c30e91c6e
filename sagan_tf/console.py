"""Where the doors' messages go: progress and notes on standard output, one plain line each."""

from __future__ import annotations

import logging
import os
import re
import sys

from sagan_tf.keras_settings import load_keras

_VERBOSITY = "TF_CPP_MIN_LOG_LEVEL"
_CONTROL_LETTERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")  # not the ends of a traceback's lines


def load_tensorflow() -> None:
    """Imports TensorFlow without the notices that it prints on standard error, unless the environment asks for them.

    They would bury the one line that a mistake gets. Its libraries print some before they read any setting, so standard
    error itself is turned away during the import; what goes wrong still arrives as a Python exception.

    Keras is loaded with its default settings: a command's results do not depend on the user's.

    Raises:
        UserError: if this process has already imported Keras with another backend.
    """
    if "tensorflow" in sys.modules or _VERBOSITY in os.environ:
        load_keras(read_user_settings=False)
        return
    os.environ[_VERBOSITY] = "3"
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    standard_error = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        load_keras(read_user_settings=False)
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)


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
        message = _CONTROL_LETTERS.sub(lambda found: f"\\x{ord(found[0]):02x}", super().format(record))
        return message if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {message}"
