"""Names from outside: shown as one harmless line, and refused where they can be no class's."""

from __future__ import annotations

import pytest

from sagan_tf.data.names import LONGEST_CLASS_NAME, check_class_names
from sagan_tf.errors import UserError


def test_names_of_classes() -> None:
    check_class_names(["a", "n01443537", "Ankle boot", "a/b", "..", "猫\u3000", "\udce9", "x" * LONGEST_CLASS_NAME])


def test_classes_with_one_name_are_named_in_an_error() -> None:
    with pytest.raises(UserError, match=r"'caf\\xe9' and 'cafe\\u0301'"):
        check_class_names(["bar", "caf\u00e9", "cafe\u0301"])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", "''"),
        ("a\nb", r"'a\\nb'"),
        ("a\0", r"'a\\x00'"),
        ("\x1b[2J", r"'\\x1b[2J'"),
        ("a\u2028b", r"'a\\u2028b'"),
        ("x" * 10**6, f"'{'x' * LONGEST_CLASS_NAME}'"),
    ],
)
def test_what_can_be_no_class(name: str, shown: str) -> None:
    with pytest.raises(UserError) as caught:
        check_class_names(["a", name])
    assert str(caught.value) == (
        f"data: expected class names of 1 to 255 letters without control characters, received {shown}; rename the class"
    )
