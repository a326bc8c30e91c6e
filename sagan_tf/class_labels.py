"""Class names and class indices: validation, lookup by name, and the mapping between two data sets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.text import find_equal_names, format_names, make_printable, normalize_name, normalize_names

_MAX_LISTED_CLASSES = 3
_MAX_SHOWN_CLASSES = 5
MAX_CLASS_NAME_LENGTH = 255
"""Characters. File systems have the same limit for the name of a directory."""

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def check_class_names(names: Iterable[str]) -> None:
    """Check the names of classes.

    Args:
        names: One name for each class.

    Raises:
        UserError: A name is empty, has more than `MAX_CLASS_NAME_LENGTH` characters or has control characters, or two
            names are equal in Unicode NFC.
    """
    names = tuple(names)
    for name in names:
        if not 0 < len(name) <= MAX_CLASS_NAME_LENGTH or _CONTROL_CHARACTERS.search(name):
            shown = make_printable(name[:MAX_CLASS_NAME_LENGTH])
            raise UserError(
                f"data: expected class names of 1 to {MAX_CLASS_NAME_LENGTH} characters without control characters, "
                f"received {shown!r}; rename the class"
            )
    if equal := find_equal_names(names):
        first, second = (ascii(name) for name in equal)
        raise UserError(
            f"data: expected a different name for each class, received {first} and {second}, which are equal in "
            "Unicode NFC; rename one of them, or merge the two classes"
        )


def find_labels(
    wanted: Sequence[str], num_classes: int, class_names: Sequence[str], option: str = "labels"
) -> list[int]:
    """Return the labels of classes that are given by name or by index.

    A name takes precedence over an index: if a class is called "3", the text "3" means that class. The Unicode form of
    a name does not matter. Its case matters only where two class names differ by nothing else.

    Args:
        wanted: Class names or indices. Empty for every class, in order.
        num_classes: 0 for a generator without classes, whose only label is 0.
        class_names: The names of all classes. Empty if they are not known.
        option: The option that gives the classes, for messages.

    Returns:
        One label for each text in `wanted`.

    Raises:
        UserError: A class does not exist. The message suggests the class with the most similar name.
    """
    if not wanted:
        return list(range(max(num_classes, 1)))
    if not num_classes:
        raise UserError(f"{option}: the generator has no classes; leave the option empty, received {wanted[0]!r}")
    return [_find_label(text, num_classes, class_names, option) for text in wanted]


def _find_label(text: str, num_classes: int, class_names: Sequence[str], option: str) -> int:
    if text in class_names:
        return class_names.index(text)
    for normalize in (normalize_name, _normalize_case):
        matches = [label for label, name in enumerate(class_names) if normalize(name) == normalize(text)]
        if len(matches) == 1:
            return matches[0]
    if text.isdecimal() and int(text) < num_classes:
        return int(text)
    if not class_names or text.lstrip("-").isdecimal():
        raise UserError(f"{option}: expected classes from 0 to {num_classes - 1}, received {text!r}")
    similar = _find_similar_name(text, class_names)
    hint = (
        f"did you mean {format_names([similar], 1)}?"
        if similar
        else f"the classes are {format_names(class_names, _MAX_SHOWN_CLASSES)}"
    )
    raise UserError(f"{option}: expected a class by name or a number below {num_classes}, received {text!r}; {hint}")


def _find_similar_name(text: str, class_names: Sequence[str]) -> str | None:
    """Return the class name that is most similar to `text`, or None.

    A name that has `text` as one of its comma-separated parts comes before names with a similar spelling.
    """
    wanted = _normalize_case(text)
    names = {_normalize_case(name): name for name in class_names}
    names_with_part = [name for key, name in names.items() if wanted in map(str.strip, key.split(","))]
    similar = names_with_part or [names[key] for key in difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)]
    return similar[0] if similar else None


def _normalize_case(name: str) -> str:
    return normalize_name(normalize_name(name).casefold())


def find_class_indices(metric: str, class_names: tuple[str, ...], known: tuple[str, ...], owner: str) -> np.ndarray:
    """Map the classes of images to the known classes by name.

    Args:
        metric: The metric that compares the classes, for messages.
        class_names: The class names of the images. Names that are all whole numbers may be indices of known classes.
        known: The known class names.
        owner: The owner of the known classes, such as "the reference", for messages.

    Returns:
        The index in `known` of each class of the images, int32 [classes of the images].

    Raises:
        UserError: The images or the owner have no classes, or a class of the images is not known.
    """
    if not class_names or not known:
        problem = f"{owner} has no class names" if class_names else "the images have no labels"
        raise UserError(f"metrics: {metric} compares the classes of the images with those of {owner}, but {problem}")
    if has_index_names(class_names, known):
        known = tuple(map(str, range(len(known))))
        class_names = tuple(str(int(name)) for name in class_names)
        if len(set(class_names)) < len(class_names):
            repeated = next(name for name in class_names if class_names.count(name) > 1)
            raise UserError(f"images: expected one directory for each class, received several for class {repeated}")
    known_names = normalize_names(known)
    unknown = [name for name in class_names if normalize_name(name) not in known_names]
    if unknown:
        raise UserError(
            f"metrics: {metric} needs the classes of {owner} ({format_names(known, _MAX_LISTED_CLASSES)}), received "
            f"{unknown[0]!r}"
        )
    return np.array([known_names.index(name) for name in normalize_names(class_names)], np.int32)


def check_every_class_has_images(metric: str, indices: np.ndarray, known: tuple[str, ...]) -> None:
    """Check that the images have every known class.

    Args:
        metric: The metric that needs every class, for messages.
        indices: The classes of the images as indices in `known`, from `find_class_indices`.
        known: The known class names.

    Raises:
        UserError: A known class has no images.
    """
    missing = [name for index, name in enumerate(known) if index not in indices]
    if missing:
        raise UserError(
            f"images: expected images of every class for {metric}, received none of "
            f"{format_names(missing, _MAX_LISTED_CLASSES)} ({len(missing)} of {len(known)} classes)"
        )


def has_index_names(class_names: tuple[str, ...], known: tuple[str, ...]) -> bool:
    """Return whether class names such as 0, 1, 2 are indices of the known classes."""
    return all(name.isdecimal() for name in class_names) and not set(class_names) <= set(known)
