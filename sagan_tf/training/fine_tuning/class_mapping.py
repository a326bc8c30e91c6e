"""The classes of a trained run whose weights the classes of a new run start with."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

import numpy as np

from sagan_tf.class_labels import find_labels, has_index_names
from sagan_tf.errors import UserError
from sagan_tf.text import normalize_names

GIVEN, SAME_NAME, SAME_NUMBER, MEAN = "class_map", "same name", "same number", "no source"
NO_CLASSES = "source without classes"
"""Names of the rules that choose the row of a class. A class without a source has the mean of all rows."""


@dataclasses.dataclass(frozen=True)
class ClassMapping:
    """The row of the source's class tables that each class starts with.

    Attributes:
        rows: The row of each class; None for the mean of all rows. A run without classes has one row, the mean.
        methods: How each row was found.
    """

    rows: tuple[int | None, ...]
    methods: tuple[str, ...]

    def apply(self, table: np.ndarray, axis: int) -> np.ndarray:
        """Return the table of the new classes.

        Args:
            table: The table of the source's classes.
            axis: The axis of the classes.
        """
        mean = table.mean(axis, dtype=np.float64).astype(table.dtype)
        return np.stack([mean if row is None else table.take(row, axis) for row in self.rows], axis)


def map_classes(
    class_names: Sequence[str], source_names: Sequence[str], num_source_classes: int, class_map: Sequence[str] = ()
) -> ClassMapping:
    """Map the classes of a run to those of the source of its weights.

    A class in `class_map` has precedence. Other classes are mapped by name. If the names of one side are not known,
    they are mapped by number, provided that both runs have equally many classes. What remains is the mean. Names that
    are whole numbers, such as 0, 1 and 2, count as not known unless one side has all names of the other.

    Args:
        class_names: The names of the run's classes; empty for a run without classes.
        source_names: The names of the source's classes; empty if they are not known.
        num_source_classes: The number of the source's classes; 0 for a source without classes.
        class_map: Pairs OLD:NEW of a class of the source and a class of the run, by name or by number.

    Returns:
        The mapping.

    Raises:
        UserError: A pair has an unknown class or several meanings, or two pairs have the same new class.
    """
    if class_map and not num_source_classes:
        raise UserError(
            f"class_map: expected no pairs, because the run in --init_from has no classes, received {class_map[0]!r}; "
            "leave --class_map out"
        )
    given: dict[int, int] = {}
    for pair in class_map:
        old, new = _find_pair(pair, class_names, source_names, num_source_classes)
        if new in given:
            raise UserError(f"class_map: expected each class of the run once, received {class_names[new]!r} again")
        given[new] = old
    found: list[tuple[int | None, str]] = []
    new_names, old_names = tuple(class_names), tuple(source_names)
    has_names = bool(old_names) and not _has_numbers_as_names(new_names, old_names)
    known = {name: row for row, name in enumerate(normalize_names(source_names))} if has_names else {}
    is_mapped_by_number = not has_names and num_source_classes == len(class_names)
    numbers = _map_by_number(new_names, old_names) if is_mapped_by_number else []
    for label, name in enumerate(normalize_names(class_names)):
        if label in given:
            found.append((given[label], GIVEN))
        elif name in known:
            found.append((known[name], SAME_NAME))
        else:
            without_row = (None, MEAN if num_source_classes else NO_CLASSES)
            found.append((numbers[label], SAME_NUMBER) if is_mapped_by_number else without_row)
    rows, methods = zip(*(found or [(None, MEAN)]), strict=True)
    return ClassMapping(rows, methods)


def _has_numbers_as_names(new_names: tuple[str, ...], old_names: tuple[str, ...]) -> bool:
    """Return whether the names of one side are numbers, and neither side has all names of the other."""
    new, old = set(new_names), set(old_names)
    has_index = has_index_names(new_names, old_names) or has_index_names(old_names, new_names)
    return has_index and not new <= old and not old <= new


def _map_by_number(new_names: tuple[str, ...], old_names: tuple[str, ...]) -> list[int]:
    """Return the label of the class with the same number for each new class.

    The number of a class is its name if the names are the numbers from 0, and its label otherwise. They differ in a
    directory of images, which sorts its classes as text: 0, 1, 10, 11, 2.
    """
    everything = list(range(len(new_names)))

    def find_numbers(names: tuple[str, ...]) -> list[int]:
        numbers = [int(name) for name in names if name.isdecimal()]
        return numbers if sorted(numbers) == everything else everything

    old = find_numbers(old_names)
    return [old.index(number) for number in find_numbers(new_names)]


def _find_pair(
    pair: str, class_names: Sequence[str], source_names: Sequence[str], num_source_classes: int
) -> tuple[int, int]:
    """Return the labels of the old and the new class of `OLD:NEW`.

    Names may have colons too. Only one of the places where the pair can be split may give two classes.
    """

    def find(old: str, new: str) -> tuple[int, int]:
        option = f"class_map, {{}} in {pair!r}"
        (row,) = find_labels([old.strip()], num_source_classes, source_names, option.format("OLD"))
        (label,) = find_labels([new.strip()], len(class_names), class_names, option.format("NEW"))
        return row, label

    parts = pair.split(":")
    if len(parts) < 2:
        raise UserError(f"class_map: expected a comma list of OLD:NEW, received {pair!r}")
    splits = [(":".join(parts[:index]), ":".join(parts[index:])) for index in range(1, len(parts))]
    readings: dict[tuple[int, int], tuple[str, str]] = {}
    for split in splits:
        with contextlib.suppress(UserError):
            readings[find(*split)] = split
    if len(readings) > 1:
        listed = " and ".join(f"{old!r} to {new!r}" for old, new in readings.values())
        raise UserError(
            f"class_map: expected a pair with one meaning, received {pair!r}, which maps {listed}; give the classes by "
            "number"
        )
    return next(iter(readings), None) or find(*splits[-1])
