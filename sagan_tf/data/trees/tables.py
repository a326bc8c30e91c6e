"""Tables of images and labels in the root of a tree, in place of a directory for each class. Imports no TensorFlow."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import logging
import posixpath
import re
from collections.abc import Callable, Iterable
from typing import Any

from sagan_tf.data.trees.layout_error import LayoutError
from sagan_tf.data.trees.tree import FileTree, Listing
from sagan_tf.errors import UserError
from sagan_tf.text import decode_text, make_printable, normalize_name

_FILE_COLUMNS = ("file", "file_name")
_LABEL_COLUMN = "label"
_MAX_INTEGER_DIGITS = 18
_NEGATIVE = re.compile(r"-\d+")
"""Some data sets mark images without a label with -1."""

_logger = logging.getLogger("sagan_tf")


@dataclasses.dataclass(frozen=True)
class Table:
    """The labels of images.

    Attributes:
        name: The name of the file.
        labels: The class of each image, by the path of the image in the tree; empty if the images have no labels.
    """

    name: str
    labels: dict[str, str]


_PART = re.compile(r"\d{5}/")
"""Beginning of the path of an image that StyleGAN's dataset tool wrote."""
_WITHOUT_LABELS: list[tuple[Any, Any]] = []
"""Rows of a table that says that the images have no labels."""


class _FormatError(ValueError):
    """An error for a table with the wrong content; the message says what was expected and received."""


def read_table(tree: FileTree, listing: Listing) -> Table | None:
    """Read the table of a tree, if it has one.

    A file that has the name of a table but not its columns is not a table, and is logged.

    Args:
        tree: The files.
        listing: The content of the tree.

    Returns:
        The table, or None if the root has no file with labels.

    Raises:
        UserError: There are several tables, a table is damaged, or it names a file that does not exist.
    """
    tables = [table for name in listing.root_files if name in TABLES if (table := _read_file(tree, name, listing))]
    if len(tables) > 1:
        raise LayoutError(
            f"expected one table of labels in {tree.root}, received {' and '.join(table.name for table in tables)}; "
            "remove one of them"
        )
    return tables[0] if tables else None


def _read_file(tree: FileTree, name: str, listing: Listing) -> Table | None:
    path = tree.format_name(name)
    try:
        rows = TABLES[name](decode_text(tree.read(name), f"data_dir: {path}"))
        if rows is _WITHOUT_LABELS and all(map(_PART.match, listing.images)):
            return Table(name, {})
        if rows is None or rows is _WITHOUT_LABELS:
            _logger.info("%s has no labels of files, and is not used", path)
            return None
        return Table(name, _find_images(rows, listing))
    except (_FormatError, csv.Error, RecursionError) as error:
        raise LayoutError(f"cannot use {path}: {make_printable(str(error))}") from error
    except UserError:
        raise
    except OSError as error:
        raise LayoutError(f"cannot read {path}: {error.strerror or make_printable(str(error))}") from error
    except ValueError as error:  # JSON that is not valid, or a file that is too large
        raise LayoutError(f"cannot read {path}: {make_printable(str(error))}; make it again") from error


def _find_images(rows: Iterable[tuple[Any, Any]], listing: Listing) -> dict[str, str]:
    """Return the class of each image by its path in the tree."""
    by_name = {normalize_name(path): path for path in listing.images} | {path: path for path in listing.images}
    labels: dict[str, str] = {}
    for number, (file, label) in enumerate(rows, 1):
        if not isinstance(file, str) or not file:
            raise _FormatError(f"expected the path of a file in row {number}, received {file!r}")
        name = posixpath.normpath(file)
        path = by_name.get(name) or by_name.get(normalize_name(name))
        if path is None:
            raise _FormatError(f"row {number} names {file!r}, which is no image beside it; correct or remove the row")
        if path in labels:
            raise _FormatError(f"expected each file once, received {file!r} again in row {number}")
        labels[path] = _format_label(label, number)
    if not labels:
        raise _FormatError("expected at least one row, received none")
    return labels


def _format_label(label: Any, number: int) -> str:
    """Return the name of a class that is given by a name or a whole number."""
    if isinstance(label, str) and label.strip() and not _NEGATIVE.fullmatch(label.strip()):
        return label.strip()
    if isinstance(label, int) and not isinstance(label, bool) and label >= 0:
        return str(label)
    raise _FormatError(
        f"expected a class name or a whole number from 0 as the label in row {number}, received {label!r}"
    )


def _parse_csv(text: str) -> list[tuple[Any, Any]] | None:
    """Return the rows of a CSV file with the columns `file` (or `file_name`) and `label`; None without them."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    column = _find_file_column(reader.fieldnames or ())
    if not column:
        return None
    rows = list(reader)
    for number, row in enumerate(rows, 1):
        if None in row:  # the key of cells without a column
            raise _FormatError(
                f"expected {len(reader.fieldnames or ())} cells in row {number}, received more; write a label that has "
                "a comma in quotation marks"
            )
    return [(row[column], row[_LABEL_COLUMN]) for row in rows]


def _parse_labels_csv(text: str) -> list[tuple[Any, Any]]:
    """Return the rows of `labels.csv`, which has no other purpose than to give labels."""
    rows = _parse_csv(text)
    if rows is None:
        columns = csv.DictReader(io.StringIO(text, newline=""), strict=True).fieldnames or ()
        raise _FormatError(
            f"expected the columns {_FILE_COLUMNS[0]} and {_LABEL_COLUMN}, received {', '.join(columns) or 'none'}; "
            "rename the columns, or move the file away"
        )
    return rows


def _parse_json_lines(text: str) -> list[tuple[Any, Any]] | None:
    """Return the rows of a file with one JSON object a line; None if the first has no file or no label."""
    # Not splitlines, because a JSON text may contain U+2028, which is an end of line for splitlines.
    rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise _FormatError("expected a JSON object in every line")
    column = _find_file_column(rows[0]) if rows else None
    return [(row.get(column), row.get(_LABEL_COLUMN)) for row in rows] if column else None


def _parse_dataset_json(text: str) -> list[tuple[Any, Any]] | None:
    """Return the rows of the list `labels` in the file of StyleGAN's dataset tool; None without it.

    If it is null, the images have no labels. The tool's directories are then not classes, but parts of 1,000 images.
    """
    content = json.loads(text)
    if not isinstance(content, dict):
        return None
    rows = content.get("labels", [])
    if rows is None:  # so the tool describes images without labels
        return _WITHOUT_LABELS
    if not rows:
        return None
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == 2 for row in rows):
        raise _FormatError("expected 'labels' to be a list of [file, label]")
    return [(file, label) for file, label in rows]


def _find_file_column(columns: Iterable[str]) -> str | None:
    """Return the column of the file names if there is also a column of labels."""
    present = set(columns)
    return next((name for name in _FILE_COLUMNS if name in present), None) if _LABEL_COLUMN in present else None


TABLES: dict[str, Callable[[str], list[tuple[Any, Any]] | None]] = {
    "labels.csv": _parse_labels_csv,
    "dataset.json": _parse_dataset_json,
    "metadata.csv": _parse_csv,
    "metadata.jsonl": _parse_json_lines,
}
"""Parsers by the name of the file. `dataset.json` is of StyleGAN's dataset tool, `metadata` of Hugging Face."""


def sort_classes(names: Iterable[str]) -> list[str]:
    """Sort the classes of a table: by number if all are whole numbers, otherwise by name."""
    names = sorted(set(names), key=lambda name: (normalize_name(name), name))
    is_number = all(name.isascii() and name.isdecimal() and len(name) <= _MAX_INTEGER_DIGITS for name in names)
    return sorted(names, key=int) if is_number else names
