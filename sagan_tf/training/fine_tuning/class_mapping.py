"""The classes of a trained run whose weights the classes of a new run start with."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

import numpy as np

from sagan_tf.class_labels import find_labels
from sagan_tf.errors import UserError
from sagan_tf.text import normalize_names

GIVEN, SAME_NAME, SAME_NUMBER, MEAN = "class_map", "same name", "same number", "no source"
"""How the row of a class was found. A class without a source has the mean of all rows."""


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

    A class in `class_map` has precedence. Other classes are mapped by name. If the names of the source are not known,
    they are mapped by number, provided that both runs have equally many classes. What remains is the mean.

    Args:
        class_names: The names of the run's classes; empty for a run without classes.
        source_names: The names of the source's classes; empty if they are not known.
        num_source_classes: The number of the source's classes; 0 for a source without classes.
        class_map: Pairs OLD:NEW of a class of the source and a class of the run, by name or by number.

    Returns:
        The mapping.

    Raises:
        UserError: A pair has an unknown class, or two pairs have the same new class.
    """
    given: dict[int, int] = {}
    for pair in class_map:
        old, new = _find_pair(pair, class_names, source_names, num_source_classes)
        if new in given:
            raise UserError(f"class_map: expected each class of the run once, received {class_names[new]!r} again")
        given[new] = old
    found: list[tuple[int | None, str]] = []
    known = {name: row for row, name in enumerate(normalize_names(source_names))}
    is_mapped_by_number = not source_names and num_source_classes == len(class_names)
    for label, name in enumerate(normalize_names(class_names)):
        if label in given:
            found.append((given[label], GIVEN))
        elif name in known:
            found.append((known[name], SAME_NAME))
        else:
            found.append((label, SAME_NUMBER) if is_mapped_by_number else (None, MEAN))
    rows, methods = zip(*(found or [(None, MEAN)]), strict=True)
    return ClassMapping(rows, methods)


def _find_pair(
    pair: str, class_names: Sequence[str], source_names: Sequence[str], num_source_classes: int
) -> tuple[int, int]:
    """Return the labels of the old and the new class of `OLD:NEW`; names may have colons too."""

    def find(old: str, new: str) -> tuple[int, int]:
        option = f"class_map, {{}} in {pair!r}"
        (row,) = find_labels([old.strip()], num_source_classes, source_names, option.format("OLD"))
        (label,) = find_labels([new.strip()], len(class_names), class_names, option.format("NEW"))
        return row, label

    parts = pair.split(":")
    if len(parts) < 2:
        raise UserError(f"class_map: expected a comma list of OLD:NEW, received {pair!r}")
    splits = [(":".join(parts[:index]), ":".join(parts[index:])) for index in range(1, len(parts))]
    for split in splits[:-1]:
        with contextlib.suppress(UserError):
            return find(*split)
    return find(*splits[-1])
