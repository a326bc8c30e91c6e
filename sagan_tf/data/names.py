"""Names that come from outside: of files, of records, of classes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from sagan_tf.errors import UserError
from sagan_tf.text import find_equal_names, printable

LONGEST_CLASS_NAME = 255
"""Letters; as long as a folder's name may be."""

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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


def check_class_names(names: Iterable[str]) -> None:
    """Check the names of classes.

    Raises:
        UserError: A name is empty, far too long, or has control characters; or two are the same in Unicode's NFC.
    """
    names = tuple(names)
    for name in names:
        if not 0 < len(name) <= LONGEST_CLASS_NAME or _CONTROL_CHARACTERS.search(name):
            shown = printable(name[:LONGEST_CLASS_NAME])
            raise UserError(
                f"data: expected class names of 1 to {LONGEST_CLASS_NAME} letters without control characters, received "
                f"{shown!r}; rename the class"
            )
    if equal := find_equal_names(names):
        first, second = (ascii(name) for name in equal)
        raise UserError(
            f"data: expected a different name for each class, received {first} and {second}, which are equal in "
            "Unicode's form NFC; rename one of them, or merge the two classes"
        )
