"""Paths that TensorFlow would read as patterns, and paths that it cannot open.

TensorFlow finds the files of a checkpoint, and the variables of a SavedModel, with a glob pattern that it makes from
the path. If a directory of the path contains `[x]` or a backslash, the pattern matches nothing although the files
exist. Only reading is affected. TensorFlow uses no patterns to write files, to list directories, or for TFRecord and
event files.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator

from sagan_tf.errors import UserError
from sagan_tf.text import make_printable

_PATTERN_CHARACTERS = re.compile(r"[][*?\\]")
_LINK_NAME = "link"


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """Return whether TensorFlow reads a path as a pattern."""
    return bool(_PATTERN_CHARACTERS.search(os.fspath(path)))


@contextlib.contextmanager
def literal_path(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a path to the same files that TensorFlow does not read as a pattern.

    Args:
        path: A directory, or the prefix of several files: `step-4` for `step-4.index` and `step-4.data-...`.

    Yields:
        `path` itself if it is not a pattern. Otherwise a symbolic link in a temporary directory, which exists until the
        context ends.

    Raises:
        UserError: A link is needed and cannot be created.
    """
    with contextlib.ExitStack() as stack:
        yield _create_link(path, stack) if is_pattern(path) else os.fspath(path)


def check_readable_path(path: str | os.PathLike[str]) -> None:
    """Check that TensorFlow can read the files of a path.

    Args:
        path: A directory or a prefix of files. The files need not exist yet.

    Raises:
        UserError: A link is needed and cannot be created; see `literal_path`.
    """
    with literal_path(path):
        return


def _create_link(path: str | os.PathLike[str], stack: contextlib.ExitStack) -> str:
    target = pathlib.Path(os.path.realpath(path))
    try:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sagan_tf_")))
        if is_pattern(directory):
            raise OSError(f"{directory} also contains one of these characters")
        for entry in target.parent.glob("*"):
            if entry.name == target.name or entry.name.startswith(f"{target.name}."):
                (directory / f"{_LINK_NAME}{entry.name.removeprefix(target.name)}").symlink_to(entry)
    except OSError as error:
        raise UserError(
            f"TensorFlow cannot read {os.fspath(path)}, which contains one of the characters [ ] * ? \\, and a link to "
            f"it cannot be created in a temporary directory ({error.strerror or error}); rename the directory, or set "
            "the environment variable TMPDIR to a writable directory without these characters in its path"
        ) from error
    return str(directory / _LINK_NAME)


def check_tensorflow_path(option: str, path: str | os.PathLike[str]) -> None:
    """Check that a path is UTF-8, as TensorFlow requires.

    TensorFlow decodes the paths of checkpoints, SavedModels and record files as UTF-8. Files and directories that
    TensorFlow does not open itself, such as images, may have any name.

    Args:
        option: The option that names the path, for the message.
        path: The path.

    Raises:
        UserError: The path is not UTF-8.
    """
    text = os.fspath(path)
    try:
        is_utf8 = os.fsencode(text) == text.encode("utf-8")
    except UnicodeEncodeError:
        is_utf8 = False
    if not is_utf8:
        raise UserError(
            f"{option}: TensorFlow opens only paths in UTF-8, received {make_printable(text)}; rename it, or pass a "
            "symbolic link whose own path is UTF-8"
        )
