"""Paths that TensorFlow does not take for patterns.

TensorFlow looks for the files of a checkpoint, and for the variables of a SavedModel, with a glob pattern made from
the path that it is given. A path with `[x]` or a backslash in any of its directories then matches nothing, although the
files are there. Only reading is affected: writing, listing, TFRecord files and event files take a path as it is.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator

from sagan_tf.errors import UserError
from sagan_tf.text import printable

_PATTERN_CHARACTERS = re.compile(r"[][*?\\]")
_LINK = "link"


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """Return whether TensorFlow takes a path for a pattern."""
    return bool(_PATTERN_CHARACTERS.search(os.fspath(path)))


@contextlib.contextmanager
def literal_path(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a path to the same files that TensorFlow takes as it is.

    Args:
        path: A directory, or what several files begin with: `step-4` for `step-4.index` and `step-4.data-...`.

    Yields:
        `path` itself, unless it is a pattern. Then a symbolic link in a temporary directory, until the context ends.

    Raises:
        UserError: A link is needed and cannot be made.
    """
    with contextlib.ExitStack() as stack:
        yield _link_to(path, stack) if is_pattern(path) else os.fspath(path)


def check_readable_path(path: str | os.PathLike[str]) -> None:
    """Check that TensorFlow can read the files of a path, which need not exist yet.

    Raises:
        UserError: A link is needed and cannot be made, see `literal_path`.
    """
    with literal_path(path):
        return


def _link_to(path: str | os.PathLike[str], stack: contextlib.ExitStack) -> str:
    target = pathlib.Path(os.path.realpath(path))
    try:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sagan_tf_")))
        if is_pattern(directory):
            raise OSError(f"{directory} also contains one of these characters")
        for entry in target.parent.glob("*"):
            if entry.name == target.name or entry.name.startswith(f"{target.name}."):
                (directory / f"{_LINK}{entry.name.removeprefix(target.name)}").symlink_to(entry)
    except OSError as error:
        raise UserError(
            f"TensorFlow cannot read {os.fspath(path)}, which has one of the characters [ ] * ? \\, without a link in "
            f"a temporary directory, and that cannot be made ({error.strerror or error}); rename the directory, or set "
            "the environment variable TMPDIR to a directory that can be written and has none of these characters"
        ) from error
    return str(directory / _LINK)


def check_tensorflow_path(option: str, path: str | os.PathLike[str]) -> None:
    """Raise UserError for a path that TensorFlow cannot read or write because it is not UTF-8.

    TensorFlow decodes the paths of checkpoints, SavedModels and record files as UTF-8. Files and directories that
    TensorFlow does not open itself, such as images, may have any name.
    """
    text = os.fspath(path)
    try:
        is_utf8 = os.fsencode(text) == text.encode("utf-8")
    except UnicodeEncodeError:
        is_utf8 = False
    if not is_utf8:
        raise UserError(
            f"{option}: TensorFlow opens only paths in UTF-8, received {printable(text)}; rename it, or give "
            "a symbolic link to it whose own path is UTF-8"
        )
