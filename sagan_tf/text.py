"""Text that users give: files, names and comma lists."""

from __future__ import annotations

import codecs
import os
import pathlib
import re
import shlex
import sys
import unicodedata
from collections.abc import Iterable, Sequence

from sagan_tf.errors import UserError

_WIDE_MARKS = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),  # after UTF-32, whose little-endian mark begins with its own
}
_BLANKS = re.compile(r"\s*")
_ELEMENT = re.compile(r'(?:"((?:[^"]|"")*)"\s*|((?!")[^,]*))(,|\Z)')
"""An element of a comma list: in quotation marks or without, and what ends it."""
# Characters that set the direction of the text after them hide text as control characters do, and a surrogate stands
# for a byte that cannot be written as text.
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def python_command(*arguments: str) -> str:
    """Return the shell command that runs this process's Python with some arguments.

    A plain `python` or `pip` may belong to another environment, in which what it installs would not be found.
    """
    return shlex.join([sys.executable or "python", *arguments])


def install_command(*packages: str) -> str:
    """Return the shell command that installs packages for this process's Python.

    The packages are named themselves and not as an extra of this one, which need not be installed to be run.
    """
    return python_command("-m", "pip", "install", *packages)


def read_text(path: str | os.PathLike[str], *, errors: str = "strict") -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        errors: What to do with bytes that are not UTF-8, as for `bytes.decode`.

    Raises:
        OSError: The file cannot be read.
        UserError: The file is not text in UTF-8.
    """
    return decode_text(pathlib.Path(path).read_bytes(), path, errors=errors)


def decode_text(content: bytes, path: str | os.PathLike[str], *, errors: str = "strict") -> str:
    """Decode the content of a text file; see `read_text`."""
    for encoding, marks in _WIDE_MARKS.items():
        if content.startswith(marks):
            raise UserError(f"{os.fspath(path)} is {encoding}; save it as UTF-8")
    try:
        return content.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        raise UserError(f"{os.fspath(path)} is not text in UTF-8; save it as UTF-8") from error


def printable(text: str) -> str:
    """Return text as one line without control characters, which are written as escapes."""
    return _NOT_PRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """Return text of several lines as one printable line."""
    return printable(" ".join(text.splitlines()))


def canonical_name(name: str) -> str:
    """Return the form in which names are compared: Unicode's NFC.

    macOS may store "é" as two code points (NFD) where other systems store one; both are the same name.
    """
    return unicodedata.normalize("NFC", name)


def canonical_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the canonical form of each name."""
    return tuple(map(canonical_name, names))


def find_equal_names(names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two names that are the same name, if only in another Unicode form; None if all differ."""
    seen: dict[str, str] = {}
    for name in names:
        if canonical_name(name) in seen:
            return seen[canonical_name(name)], name
        seen[canonical_name(name)] = name
    return None


def split_comma_list(text: str) -> list[str]:
    """Split a comma list into its elements.

    Blanks around an element do not count. An element in quotation marks may contain commas, and quotation marks that
    are doubled, as in CSV files.

    Raises:
        ValueError: A quotation mark is not closed, or an element is empty without quotation marks.

    Examples:
        >>> split_comma_list('cat, "tench, Tinca tinca",3')
        ['cat', 'tench, Tinca tinca', '3']
    """
    if not text.strip():
        return []
    elements, position, end = [], 0, ","
    while end:
        match = _ELEMENT.match(text, _BLANKS.match(text, position).end())  # type: ignore[union-attr]
        if match is None:
            raise ValueError(f"expected a comma list in which every quotation mark is closed, received {text!r}")
        quoted, plain, end = match.groups()
        if plain is not None and not plain.strip():
            raise ValueError(f'expected an element before and after every comma ("" for empty text), received {text!r}')
        elements.append(plain.rstrip() if quoted is None else quoted.replace('""', '"'))
        position = match.end()
    return elements


def join_comma_list(elements: Iterable[str]) -> str:
    """Join elements to a comma list from which `split_comma_list` gets them back.

    Examples:
        >>> join_comma_list(["cat", "tench, Tinca tinca"])
        'cat,"tench, Tinca tinca"'
    """
    return ",".join(map(_quote, elements))


def list_names(names: Sequence[str], most: int) -> str:
    """Return the first names as a comma list that can be pasted into a shell, for messages."""
    return shlex.quote(join_comma_list(names[:most])) + (" ..." if len(names) > most else "")


def _quote(element: str) -> str:
    needed = not element or element != element.strip() or not set(element).isdisjoint(',"')
    return '"' + element.replace('"', '""') + '"' if needed else element
