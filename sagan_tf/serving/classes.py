"""Classes of an exported generator, read from its model card."""

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
    """The classes of a generator.

    Attributes:
        count: The number of classes; 0 for a generator without classes, which takes label 0; None if it is not known.
        names: The names of all classes; empty if they are not known.
    """

    count: int | None = None
    names: tuple[str, ...] = ()

    def find_labels(self, requested: Sequence[str]) -> list[int]:
        """Return the labels of classes given by number or name.

        Args:
            requested: Numbers or names of classes. Empty: Every known class, or label 0 if none is known.

        Raises:
            UserError: If there is no such class, or a name is given and names are not known.
        """
        if self.count is not None:
            return find_labels(requested, self.count, self.names)
        unknown = [text for text in requested if not text.isdecimal()]
        if unknown:
            raise UserError(
                f"labels: expected numbers, received {unknown[0]!r}; class names need --model_card=FILE (in Python "
                "classes=read_classes(FILE))"
            )
        return [int(text) for text in requested] or [0]

    def get_name(self, label: int) -> str:
        """Return the name of a class, or its number if names are not known."""
        return self.names[label] if self.names else str(label)


def read_classes(path: str | os.PathLike[str]) -> Classes:
    """Read the classes of a model from its `model_card.json`.

    Raises:
        UserError: If the file cannot be read, or is not a model card.
    """
    return Classes(*read_card_classes(pathlib.Path(os.path.expanduser(path))))


def read_card_classes(path: pathlib.Path) -> tuple[int, tuple[str, ...]]:
    """Read the number of classes and the known class names from a model card.

    Raises:
        UserError: If the file cannot be read, or is not a model card.
    """
    try:
        card = json.loads(read_text(path))
        names = card.get("class_names", [])
        count = card.get("num_classes", len(names))
        if not isinstance(names, list) or not isinstance(count, int) or count < 0:
            raise ValueError("class_names is not a list, or num_classes is not a number of classes")
        if names and len(names) != count:
            raise ValueError(f"{len(names)} class_names, but num_classes={count}")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"model_card: cannot read class_names and num_classes from {path} ({error}); give the model_card.json of "
            "an exported model"
        ) from error
    return count, tuple(map(str, names))
