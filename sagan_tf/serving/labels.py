"""Classes as users name them: by number or by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from sagan_tf.errors import UserError

_SHOWN = 5


def find_labels(wanted: Sequence[str], num_classes: int, class_names: Sequence[str]) -> list[int]:
    """The labels that texts stand for; none wanted: every class, in order.

    A name comes first: where classes are called by numbers, 3 is the class called 3.

    Args:
        wanted: numbers or names; case does not matter where it is clear without.
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
    alike = [label for label, name in enumerate(class_names) if name.casefold() == text.casefold()]
    if len(alike) == 1:
        return alike[0]
    if text.isdecimal() and int(text) < num_classes:
        return int(text)
    if not class_names or text.lstrip("-").isdecimal():
        raise UserError(f"labels: expected classes from 0 to {num_classes - 1}, received {text!r}")
    lower = {name.casefold(): name for name in class_names}
    close = difflib.get_close_matches(text.casefold(), lower, n=1, cutoff=0.5)
    if close:
        hint = f"did you mean {lower[close[0]]!r}?"
    else:
        hint = f"there are {', '.join(class_names[:_SHOWN])}" + (" ..." if len(class_names) > _SHOWN else "")
    raise UserError(f"labels: expected a class by name or a number below {num_classes}, received {text!r}; {hint}")
