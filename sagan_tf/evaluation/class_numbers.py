"""Whose class 3 is whose: labels of images as those who compare them number the classes, by name."""

from __future__ import annotations

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.text import canonical_name, canonical_names, list_names

_SHOWN = 3


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
            f"metrics: expected the classes of {whose} ({list_names(known, _SHOWN)}) for {metric}, received "
            f"{unknown[0]!r}"
        )
    return np.array([canonical.index(name) for name in canonical_names(class_names)], np.int32)


def check_all_classes(metric: str, numbers: np.ndarray, known: tuple[str, ...]) -> None:
    """Raise UserError unless every known class is one of the images'."""
    missing = [name for number, name in enumerate(known) if number not in numbers]
    if missing:
        raise UserError(
            f"images: expected images of every class for {metric}, received none of {list_names(missing, _SHOWN)} "
            f"({len(missing)} of {len(known)} classes)"
        )


def stand_for_numbers(class_names: tuple[str, ...], known: tuple[str, ...]) -> bool:
    """Return whether names of folders such as 0, 1, 2 are the numbers of the known classes."""
    return all(name.isdecimal() for name in class_names) and not set(class_names) <= set(known)
