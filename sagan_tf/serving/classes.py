"""The classes of an exported generator, from its model card."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence

from sagan_tf.class_labels import find_labels
from sagan_tf.errors import UserError
from sagan_tf.text import read_text


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes that a generator knows.

    Attributes:
        count: 0 for a generator without classes, which takes label 0; None if it is not known how many there are.
        names: of all classes; empty if they are not known.
    """

    count: int | None = None
    names: tuple[str, ...] = ()

    def labels(self, wanted: Sequence[str]) -> list[int]:
        """Return the labels that numbers or names stand for; none wanted: every class that is known, or 0.

        Raises:
            UserError: there is no such class, or names are not known.
        """
        if self.count is not None:
            return find_labels(wanted, self.count, self.names)
        wrong = [text for text in wanted if not text.isdecimal()]
        if wrong:
            raise UserError(
                f"labels: expected numbers, received {wrong[0]!r}; a model card tells names (--model_card=FILE)"
            )
        return [int(text) for text in wanted] or [0]

    def name(self, label: int) -> str:
        """Return what to call a class."""
        return self.names[label] if self.names else str(label)


def read_classes(path: str | os.PathLike[str]) -> Classes:
    """Return the classes of a `model_card.json`.

    Raises:
        UserError: it cannot be read, or is no such card.
    """
    return Classes(*classes_of_card(pathlib.Path(os.path.expanduser(path))))


def classes_of_card(path: pathlib.Path) -> tuple[int, tuple[str, ...]]:
    """Number of classes, and their names if they are known, of a model's card.

    Raises:
        UserError: the file is no such card.
    """
    try:
        card = json.loads(read_text(path))
        names = card.get("class_names", [])
        classes = card.get("num_classes", len(names))
        if not isinstance(names, list) or not isinstance(classes, int) or classes < 0:
            raise ValueError("other kinds of values")
        if names and len(names) != classes:
            raise ValueError(f"{len(names)} names of {classes} classes")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"model_card: expected a card with class_names and num_classes in {path}, received another ({error})"
        ) from error
    return classes, tuple(map(str, names))
