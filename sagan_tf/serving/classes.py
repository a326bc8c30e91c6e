"""The classes of an exported generator, from its model card."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from sagan_tf.errors import UserError
from sagan_tf.serving.labels import find_labels
from sagan_tf.serving.model_card import classes_of_card


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
