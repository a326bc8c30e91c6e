"""Text from users with byte order marks, in any Unicode form, and with commas in names."""

import doctest
import re
import shlex
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagan_tf import text
from sagan_tf.errors import UserError
from sagan_tf.text import (
    find_equal_names,
    format_names,
    join_comma_list,
    make_printable,
    make_single_line,
    normalize_name,
    read_text,
    split_comma_list,
)

NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_byte_order_mark_is_removed(mark, tmp_path):
    (tmp_path / "file").write_bytes(mark + NFC.encode() + b"\n\xef\xbb\xbf")
    assert read_text(tmp_path / "file") == f"{NFC}\n\ufeff"


@pytest.mark.parametrize("encoding", ["UTF-16", "UTF-32"])
def test_error_names_another_encoding(encoding, tmp_path):
    (tmp_path / "file").write_bytes("text".encode(encoding))
    with pytest.raises(UserError, match=f"file is {encoding}; .*UTF-8"):
        read_text(tmp_path / "file", errors="replace")
    (tmp_path / "file").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match="file .*UTF-8"):
        read_text(tmp_path / "file")
    assert read_text(tmp_path / "file", errors="replace") == "caf\ufffd"


def test_names_are_compared_in_nfc():
    assert NFC != NFD and normalize_name(NFC) == normalize_name(NFD)
    assert find_equal_names(["a", NFC, "A", NFD]) == (NFC, NFD)
    assert find_equal_names(["a", "b"]) is None


@given(st.lists(st.text()))
def test_comma_list_round_trip(elements):
    assert split_comma_list(join_comma_list(elements)) == elements
    assert shlex.split(format_names(elements, len(elements))) == [join_comma_list(elements)]


@pytest.mark.parametrize(
    ("written", "elements"),
    [
        ("", []),
        (" ", []),
        ("a, b ,c d", ["a", "b", "c d"]),
        ('a,"",""', ["a", "", ""]),
        (' "tench, Tinca tinca" , 3', ["tench, Tinca tinca", "3"]),
        ('"",5" disk,"""a"""," b "', ["", '5" disk', '"a"', " b "]),
    ],
)
def test_elements_of_a_comma_list(written, elements):
    assert split_comma_list(written) == elements


@pytest.mark.parametrize("written", ['"a', 'a, "b"c', '"', '"""', 'a, "', "a,", ",a", "a,,b", " , "])
def test_rejects_invalid_lists(written):
    with pytest.raises(ValueError, match=re.escape(repr(written))):
        split_comma_list(written)


def test_docstring_examples():
    assert doctest.testmod(text).failed == 0


def test_lists_keep_the_unicode_form():
    assert format_names([NFD, NFC], 1) == f"'{NFD}' ..." and unicodedata.is_normalized("NFD", format_names([NFD], 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b c.jpg", "a/b c.jpg"),
        ("Ähre 猫 ｱ\u3000\u00a0👩\u200d🚀", "Ähre 猫 ｱ\u3000\u00a0👩\u200d🚀"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x1b[2J\x07\x00\x7f\x9b", r"\x1b[2J\x07\x00\x7f\x9b"),
        ("a\u2028b\u2029c\x85", r"a\u2028b\u2029c\x85"),
        ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
        (b"caf\xe9".decode(errors="surrogateescape"), r"caf\udce9"),
    ],
)
def test_make_printable(text, expected):
    assert make_printable(text) == expected
    assert len(make_printable(text).splitlines()) == 1
    assert make_single_line("a\r\nb\x1b") == r"a b\x1b"
