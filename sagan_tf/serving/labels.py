"""Classes as users name them: by number or by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from sagan_tf.errors import UserError
from sagan_tf.text import canonical_name, list_names

_SHOWN = 5


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
    hint = f"did you mean {list_names([close], 1)}?" if close else f"there are {list_names(class_names, _SHOWN)}"
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
