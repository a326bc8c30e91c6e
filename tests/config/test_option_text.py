"""Tests of the conversion of option values to and from text."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagan_tf.config.option_text import OptionText
from sagan_tf.text import split_comma_list


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (bool, "true", True),
        (bool, "True", True),
        (bool, "1", True),
        (bool, "false", False),
        (bool, "0", False),
        (int, "-3", -3),
        (float, "1e-4", 1e-4),
        (float, "2", 2.0),
        (str, "", ""),
        (str, "a=b, c", "a=b, c"),
        (tuple[int, ...], "", ()),
        (tuple[int, ...], "32", (32,)),
        (tuple[int, ...], "32, 64", (32, 64)),
        (tuple[str, ...], "fid50k,is50k", ("fid50k", "is50k")),
        (tuple[str, ...], '"tench, Tinca tinca", 3', ("tench, Tinca tinca", "3")),
        (tuple[int, ...] | None, "unset", None),
        (tuple[int, ...] | None, "", ()),
        (int | None, "unset", None),
        (int | None, "7", 7),
    ],
)
def test_parse_returns_value_and_type(hint: Any, text: str, value: Any) -> None:
    parsed = OptionText(hint).parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("hint", "text", "expected"),
    [
        (bool, "yes", "expected true or false"),
        (bool, "", "expected true or false"),
        (int, "3.5", "expected a whole number"),
        (float, "fast", "expected a number"),
        (float, "nan", "expected a number"),
        (float, "inf", "expected a number"),
        (str, " a", "expected text on one line without blanks at its ends"),
        (str, "a\nb", "expected text on one line without blanks at its ends"),
        (tuple[int, ...], "32,a", "expected a comma list, each a whole number"),
        (tuple[int, ...] | None, "none", "expected a comma list, each a whole number, or unset"),
        (int, "unset", "expected a whole number"),
    ],
)
def test_invalid_text_is_rejected(hint: Any, text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{expected}$"):
        OptionText(hint).parse(text)


@pytest.mark.parametrize("text", ['"tench, 3', "1,2,"])
def test_reason_for_rejecting_a_comma_list_is_kept(text: str) -> None:
    try:
        split_comma_list(text)
    except ValueError as expected:
        reason = str(expected)
    with pytest.raises(ValueError, match=re.escape(reason)):
        OptionText(tuple[str, ...]).parse(text)


def test_choices() -> None:
    scalar, comma_list = OptionText(str, ("hinge", "wasserstein")), OptionText(tuple[str, ...], ("fid", "is"))
    assert scalar.parse("hinge") == "hinge"
    assert comma_list.parse("is,fid") == ("is", "fid")
    with pytest.raises(ValueError, match="hinge, wasserstein"):
        scalar.parse("Hinge")
    with pytest.raises(ValueError, match="fid, is"):
        comma_list.parse("fid,kid")


def test_text_of_several_lines_is_rejected() -> None:
    with pytest.raises(ValueError, match="one line"):
        OptionText(str).format("two\nlines")


@given(st.one_of(st.none(), st.lists(st.integers()).map(tuple)))
def test_optional_comma_lists_round_trip(value: tuple[int, ...] | None) -> None:
    option_text = OptionText(tuple[int, ...] | None)
    assert option_text.parse(option_text.format(value)) == value


_LINES = st.text().filter(lambda text: text.splitlines() in ([], [text]))


@given(st.lists(_LINES | st.text(alphabet='a", ')).map(tuple))
def test_comma_lists_of_texts_round_trip_on_one_line(value: tuple[str, ...]) -> None:
    written = OptionText(tuple[str, ...]).format(value)
    assert OptionText(tuple[str, ...]).parse(written) == value
    assert written == written.strip() and len(written.splitlines()) <= 1


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_round_trip_exactly(value: float) -> None:
    option_text = OptionText(float)
    assert option_text.parse(option_text.format(value)) == value


@pytest.mark.parametrize(
    ("hint", "choices", "placeholder"),
    [
        (int, None, "INTEGER"),
        (float, None, "NUMBER"),
        (str, None, "TEXT"),
        (str, ("a", "b"), "a|b"),
        (tuple[int, ...] | None, None, "INTEGER,..."),
    ],
)
def test_placeholder(hint: Any, choices: tuple[str, ...] | None, placeholder: str) -> None:
    assert OptionText(hint, choices).placeholder() == placeholder
