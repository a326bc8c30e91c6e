"""Class names and class indices: valid names, labels that users name, and the classes of two data sets by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.text import canonical_name, canonical_names, find_equal_names, list_names, printable

_MAX_LISTED_CLASSES = 3
_MAX_SHOWN_CLASSES = 5
LONGEST_CLASS_NAME = 255
"""Characters; as long as a directory's name may be."""

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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


def find_labels(wanted: Sequence[str], num_classes: int, class_names: Sequence[str]) -> list[int]:
    """Return the labels that texts stand for; none wanted: every class, in order.

    A name comes first: where classes are called by numbers, 3 is the class called 3.

    Args:
        wanted: numbers or names; the Unicode form of a name does not matter, nor does case where it is clear without.
        num_classes: 0 for a generator without classes, which has label 0 alone.
        class_names: of all classes; empty if they are not known.

    Raises:
        UserError: there is no such class; the message names the one that is most like it.
    """
    if not wanted:
        return list(range(max(num_classes, 1)))
    if not num_classes:
        raise UserError(f"labels: expected none, since the generator has no classes, received {wanted[0]!r}")
    return [_find_label(text, num_classes, class_names) for text in wanted]


def _find_label(text: str, num_classes: int, class_names: Sequence[str]) -> int:
    if text in class_names:
        return class_names.index(text)
    for form in (canonical_name, _without_case):
        alike = [label for label, name in enumerate(class_names) if form(name) == form(text)]
        if len(alike) == 1:
            return alike[0]
    if text.isdecimal() and int(text) < num_classes:
        return int(text)
    if not class_names or text.lstrip("-").isdecimal():
        raise UserError(f"labels: expected classes from 0 to {num_classes - 1}, received {text!r}")
    close = _closest(text, class_names)
    hint = (
        f"did you mean {list_names([close], 1)}?"
        if close
        else f"there are {list_names(class_names, _MAX_SHOWN_CLASSES)}"
    )
    raise UserError(f"labels: expected a class by name or a number below {num_classes}, received {text!r}; {hint}")


def _closest(text: str, class_names: Sequence[str]) -> str | None:
    """Return a name with `text` as one of its comma-separated parts, or a similarly spelled one."""
    wanted = _without_case(text)
    names = {_without_case(name): name for name in class_names}
    parts = [name for form, name in names.items() if wanted in map(str.strip, form.split(","))]
    close = parts or [names[form] for form in difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)]
    return close[0] if close else None


def _without_case(name: str) -> str:
    return canonical_name(canonical_name(name).casefold())


def class_numbers(metric: str, class_names: tuple[str, ...], known: tuple[str, ...], whose: str) -> np.ndarray:
    """For each of the images' classes its number among the known ones.

    Args:
        metric: for messages.
        class_names: of the images' labels. Names that are all whole numbers may stand for the known classes' numbers.
        known: the classes of whoever compares.
        whose: they are, for messages.

    Returns:
        int32 [classes of the images].

    Raises:
        UserError: there are no classes on either side, or the images have one that is not known.
    """
    if not class_names or not known:
        received = f"{whose} without known classes" if class_names else "images without labels"
        raise UserError(f"metrics: expected classes that images and {whose} share for {metric}, received {received}")
    if stand_for_numbers(class_names, known):
        known = tuple(map(str, range(len(known))))
        class_names = tuple(str(int(name)) for name in class_names)
        if len(set(class_names)) < len(class_names):
            twice = next(name for name in class_names if class_names.count(name) > 1)
            raise UserError(f"images: expected one folder for each class, received several that stand for {twice}")
    canonical = canonical_names(known)
    unknown = [name for name in class_names if canonical_name(name) not in canonical]
    if unknown:
        raise UserError(
            f"metrics: expected the classes of {whose} ({list_names(known, _MAX_LISTED_CLASSES)}) for {metric}, "
            f"received {unknown[0]!r}"
        )
    return np.array([canonical.index(name) for name in canonical_names(class_names)], np.int32)


def check_all_classes(metric: str, numbers: np.ndarray, known: tuple[str, ...]) -> None:
    """Raise UserError unless every known class is one of the images'."""
    missing = [name for number, name in enumerate(known) if number not in numbers]
    if missing:
        raise UserError(
            f"images: expected images of every class for {metric}, received none of "
            f"{list_names(missing, _MAX_LISTED_CLASSES)} ({len(missing)} of {len(known)} classes)"
        )


def stand_for_numbers(class_names: tuple[str, ...], known: tuple[str, ...]) -> bool:
    """Return whether names of folders such as 0, 1, 2 are the numbers of the known classes."""
    return all(name.isdecimal() for name in class_names) and not set(class_names) <= set(known)
