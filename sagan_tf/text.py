"""Text from users and for users: text files, names, comma-separated lists and shell commands."""

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

_BYTE_ORDER_MARKS = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    # UTF-16 comes after UTF-32, because the little-endian mark of UTF-32 begins with that of UTF-16.
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
_WHITESPACE = re.compile(r"\s*")
_LIST_ELEMENT = re.compile(r'(?:"((?:[^"]|"")*)"\s*|((?!")[^,]*))(,|\Z)')
"""An element of a comma-separated list, with or without quotation marks, and the comma or the end after it."""
# Characters that set the direction of the text after them hide text as control characters do. A surrogate represents a
# byte that cannot be written as text. XML has neither surrogates nor U+FFFE and U+FFFF.
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def format_python_command(*arguments: str) -> str:
    """Return the shell command that runs this process's Python with arguments.

    A plain `python` or `pip` may belong to another environment, in which this process would not find what it installs.
    """
    return shlex.join([sys.executable or "python", *arguments])


def format_install_command(*packages: str) -> str:
    """Return the shell command that installs packages for this process's Python.

    The command lists the packages themselves, not an extra of this package, because this package can run without being
    installed.
    """
    return format_python_command("-m", "pip", "install", *packages)


def read_text(path: str | os.PathLike[str], *, errors: str = "strict") -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        errors: How to treat bytes that are not UTF-8, as in `bytes.decode`.

    Returns:
        The text.

    Raises:
        OSError: The file cannot be read.
        UserError: The file is not text in UTF-8.
    """
    return decode_text(pathlib.Path(path).read_bytes(), path, errors=errors)


def decode_text(content: bytes, path: str | os.PathLike[str], *, errors: str = "strict") -> str:
    """Decode the content of a text file in UTF-8.

    Args:
        content: The content of the file, with or without a byte order mark.
        path: The file, for messages.
        errors: How to treat bytes that are not UTF-8, as in `bytes.decode`.

    Returns:
        The text.

    Raises:
        UserError: The content is not text in UTF-8.
    """
    for encoding, marks in _BYTE_ORDER_MARKS.items():
        if content.startswith(marks):
            raise UserError(f"{os.fspath(path)} is {encoding}; save it as UTF-8")
    try:
        return content.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        raise UserError(f"{os.fspath(path)} is not text in UTF-8; save it as UTF-8") from error


def make_printable(text: str) -> str:
    """Return text as one line in which control characters are written as escapes."""
    return _NOT_PRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def make_single_line(text: str) -> str:
    """Join the lines of a text with spaces into one printable line."""
    return make_printable(" ".join(text.splitlines()))


def normalize_name(name: str) -> str:
    """Return a name in Unicode NFC, the form in which names are compared.

    macOS may store "é" as two code points (NFD) where other systems store one. Both are the same name.
    """
    return unicodedata.normalize("NFC", name)


def normalize_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return each name in Unicode NFC; see `normalize_name`."""
    return tuple(map(normalize_name, names))


def find_equal_names(names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two names that are equal in Unicode NFC, or None."""
    seen: dict[str, str] = {}
    for name in names:
        if normalize_name(name) in seen:
            return seen[normalize_name(name)], name
        seen[normalize_name(name)] = name
    return None


def split_comma_list(text: str) -> list[str]:
    """Split a comma-separated list into its elements.

    Whitespace around an element is ignored. An element in quotation marks may contain commas, and quotation marks that
    are doubled, as in CSV files.

    Args:
        text: The list.

    Returns:
        The elements, without their quotation marks.

    Raises:
        ValueError: A quotation mark is not closed, or an element without quotation marks is empty.

    Examples:
        >>> split_comma_list('cat, "tench, Tinca tinca",3')
        ['cat', 'tench, Tinca tinca', '3']
    """
    if not text.strip():
        return []
    elements, position, end = [], 0, ","
    while end:
        match = _LIST_ELEMENT.match(text, _WHITESPACE.match(text, position).end())  # type: ignore[union-attr]
        if match is None:
            raise ValueError(f"expected a comma list in which every quotation mark is closed, received {text!r}")
        quoted, plain, end = match.groups()
        if plain is not None and not plain.strip():
            raise ValueError(f'expected an element before and after every comma ("" for empty text), received {text!r}')
        elements.append(plain.rstrip() if quoted is None else quoted.replace('""', '"'))
        position = match.end()
    return elements


def join_comma_list(elements: Iterable[str]) -> str:
    """Join elements into a comma-separated list; the inverse of `split_comma_list`.

    Examples:
        >>> join_comma_list(["cat", "tench, Tinca tinca"])
        'cat,"tench, Tinca tinca"'
    """
    return ",".join(map(_quote, elements))


def format_names(names: Sequence[str], max_names: int) -> str:
    """Return the first names as a comma-separated list for a shell."""
    return shlex.quote(join_comma_list(names[:max_names])) + (" ..." if len(names) > max_names else "")


def _quote(element: str) -> str:
    needs_quotes = not element or element != element.strip() or not set(element).isdisjoint(',"')
    return '"' + element.replace('"', '""') + '"' if needs_quotes else element
