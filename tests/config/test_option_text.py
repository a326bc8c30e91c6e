"""Tests of the conversion of option values to and from text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagan_tf.config.option_text import OptionText


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (bool, "true", True),
        (bool, "1", True),
        (bool, "false", False),
        (int, "-3", -3),
        (float, "1e-4", 1e-4),
        (str, "a=b, c", "a=b, c"),
        (tuple[int, ...], "", ()),
        (tuple[int, ...], "32, 64", (32, 64)),
        (tuple[str, ...], "fid50k,is50k", ("fid50k", "is50k")),
        (tuple[str, ...], '"tench, Tinca tinca", 3', ("tench, Tinca tinca", "3")),
        (tuple[int, ...] | None, "unset", None),
        (tuple[int, ...] | None, "", ()),
        (int | None, "unset", None),
        (int | None, "7", 7),
    ],
)
def test_parse_returns_value_and_type(hint, text, value):
    parsed = OptionText(hint).parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("hint", "text", "expected"),
    [
        *((bool, text, "true or false") for text in ("yes", "")),
        *((int, text, "whole number") for text in ("3.5", "unset")),
        *((float, text, "a number") for text in ("fast", "nan", "inf")),
        *((str, text, "one line") for text in (" a", "a\nb")),
        (tuple[int, ...], "32,a", "list.* whole number"),
        (tuple[int, ...], "1,2,", "1,2,"),
        (tuple[int, ...] | None, "none", "list.* whole number.* unset"),
        (tuple[str, ...], '"tench, 3', '"tench, 3'),
    ],
)
def test_invalid_text_is_rejected(hint, text, expected):
    with pytest.raises(ValueError, match=f"expected .*{expected}"):
        OptionText(hint).parse(text)


def test_choices():
    scalar, comma_list = OptionText(str, ("hinge", "wasserstein")), OptionText(tuple[str, ...], ("fid", "is"))
    assert scalar.parse("hinge") == "hinge"
    assert comma_list.parse("is,fid") == ("is", "fid")
    with pytest.raises(ValueError, match="hinge, wasserstein"):
        scalar.parse("Hinge")
    with pytest.raises(ValueError, match="fid, is"):
        comma_list.parse("fid,kid")


def test_text_of_several_lines_is_rejected():
    with pytest.raises(ValueError, match="one line"):
        OptionText(str).format("two\nlines")


@given(st.one_of(st.none(), st.lists(st.integers()).map(tuple)))
def test_optional_comma_lists_round_trip(value):
    option_text = OptionText(tuple[int, ...] | None)
    assert option_text.parse(option_text.format(value)) == value


_LINES = st.text().filter(lambda text: text.splitlines() in ([], [text]))


@given(st.lists(_LINES | st.text(alphabet='a", ')).map(tuple))
def test_comma_lists_of_texts_round_trip_on_one_line(value):
    written = OptionText(tuple[str, ...]).format(value)
    assert OptionText(tuple[str, ...]).parse(written) == value
    assert written == written.strip() and len(written.splitlines()) <= 1


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_round_trip_exactly(value):
    option_text = OptionText(float)
    assert option_text.parse(option_text.format(value)) == value
