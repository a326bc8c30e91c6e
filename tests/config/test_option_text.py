"""A value's text says the value, and a wrong text says what was expected."""

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
def test_text_is_parsed_to_the_value_and_its_type(hint: Any, text: str, value: Any) -> None:
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
def test_a_wrong_text_is_refused(hint: Any, text: str, expected: str) -> None:
    with pytest.raises(ValueError) as caught:
        OptionText(hint).parse(text)
    assert str(caught.value) == expected


@pytest.mark.parametrize("text", ['"tench, 3', "1,2,"])
def test_the_reason_for_refusing_a_list_is_kept(text: str) -> None:
    with pytest.raises(ValueError) as of_list:
        split_comma_list(text)
    with pytest.raises(ValueError, match=re.escape(str(of_list.value))):
        OptionText(tuple[str, ...]).parse(text)


def test_choices_are_the_only_texts() -> None:
    one, several = OptionText(str, ("hinge", "wasserstein")), OptionText(tuple[str, ...], ("fid", "is"))
    assert one.parse("hinge") == "hinge"
    assert several.parse("is,fid") == ("is", "fid")
    with pytest.raises(ValueError, match="^expected one of hinge, wasserstein$"):
        one.parse("Hinge")
    with pytest.raises(ValueError, match="^expected a comma list, each one of fid, is$"):
        several.parse("fid,kid")


def test_a_text_that_a_flagfile_cannot_hold_is_not_written() -> None:
    with pytest.raises(ValueError, match="one line"):
        OptionText(str).write("two\nlines")


@given(st.one_of(st.none(), st.lists(st.integers()).map(tuple)))
def test_optional_tuples_survive_writing(value: tuple[int, ...] | None) -> None:
    option_text = OptionText(tuple[int, ...] | None)
    assert option_text.parse(option_text.write(value)) == value


_LINES = st.text().filter(lambda text: text.splitlines() in ([], [text]))


@given(st.lists(_LINES | st.text(alphabet='a", ')).map(tuple))
def test_lists_of_texts_survive_writing_to_a_line(value: tuple[str, ...]) -> None:
    written = OptionText(tuple[str, ...]).write(value)
    assert OptionText(tuple[str, ...]).parse(written) == value
    assert written == written.strip() and len(written.splitlines()) <= 1


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_survive_writing_to_the_last_bit(value: float) -> None:
    option_text = OptionText(float)
    assert option_text.parse(option_text.write(value)) == value


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
