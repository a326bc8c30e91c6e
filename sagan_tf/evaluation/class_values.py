"""Values of metrics for each class, and the table of all classes in a record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.features.distances import compute_class_precision_and_recall
from sagan_tf.features.statistics import ImageSetStatistics

MIN_CLASS_IMAGES = 10
"""Images of a class on each side that precision and recall need. With fewer, a ball that reaches to the third nearest
neighbor holds a large part of the class."""
_DECIMALS = 6
_MAX_SHOWN_CLASSES = 20
_MAX_NAME_WIDTH = 22


@dataclasses.dataclass(frozen=True)
class ClassValues:
    """Values of a metric for each class.

    Attributes:
        summary: The value of the metric over all classes.
        columns: Arrays [classes] by name; NaN for a class without a value. The classes are those of the reference if
            the metric compares with it within each class, and otherwise those of the extractor.
        worst_class: Index of the worst class.
    """

    summary: dict[str, float]
    columns: dict[str, np.ndarray]
    worst_class: int


def compute_class_agreement(images: ImageSetStatistics, reference: ImageSetStatistics) -> ClassValues:
    """Return the fraction of each class whose most likely class is that class."""
    values = images.class_agreement
    summary = {"mean": float(np.nanmean(values)), "worst": float(np.nanmin(values))}
    return ClassValues(summary, {"agreement": values}, int(np.nanargmin(values)))


def compute_class_precision_recall(images: ImageSetStatistics, reference: ImageSetStatistics) -> ClassValues:
    """Return precision and recall within each class that has `MIN_CLASS_IMAGES` images on both sides.

    Raises:
        UserError: There is no such class.
    """
    precision, recall, counts = compute_class_precision_and_recall(
        images.features, images.labels, reference.features, reference.labels, MIN_CLASS_IMAGES
    )
    if np.isnan(recall).all():
        raise UserError(
            f"metrics: class_precision_recall needs a class with {MIN_CLASS_IMAGES} images to evaluate and as many "
            "reference images, received none; use more images, or leave it out of --metrics"
        )
    summary = {"precision": float(np.nanmean(precision)), "recall": float(np.nanmean(recall))}
    summary["worst_recall"] = float(np.nanmin(recall))
    columns = {"precision": precision, "recall": recall, "images": counts}
    return ClassValues(summary, columns, int(np.nanargmin(recall)))


def describe_classes(
    names: Sequence[str],
    reference_counts: Sequence[int],
    values: Mapping[str, tuple[ClassValues, np.ndarray]],
) -> dict[str, Any]:
    """Make the entries of a record about classes.

    Args:
        names: The names of the classes, one for each row of the table.
        reference_counts: The number of reference images of each class; empty if it is not known.
        values: By the name of the metric, its values and the index of each row in them, which is -1 for a class that
            they do not have.

    Returns:
        `worst_class`: the name of the worst class by the name of the metric. `num_classes`: the number of classes with
        a value by the name of the metric. `classes`: a list for each column, with an item for each class: `name`,
        `reference_images` if known, and METRIC/COLUMN; None for a class without a value.
    """
    table: dict[str, list[Any]] = {"name": list(names)}
    if reference_counts:
        table["reference_images"] = list(reference_counts)
    worst_classes, measured = {}, {}
    for metric, (class_values, rows) in values.items():
        for column, array in class_values.columns.items():
            table[f"{metric}/{column}"] = [_to_json(array, row) for row in rows.tolist()]
        measured[metric] = len(names) - len(find_omitted_classes(metric, table))
        worst_classes[metric] = names[int(np.flatnonzero(rows == class_values.worst_class)[0])]
    return {"worst_class": worst_classes, "num_classes": measured, "classes": table}


def _to_json(values: np.ndarray, index: int) -> float | int | None:
    """Return a number, or None for NaN and for a class without images."""
    if not 0 <= index < len(values):
        return None
    value: float | int = values[index].item()
    return value if isinstance(value, int) else None if np.isnan(value) else round(value, _DECIMALS)


def find_omitted_classes(metric: str, table: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the names of the classes for which a metric has no value.

    Args:
        metric: The name of the metric.
        table: The entry `classes` of `describe_classes`.
    """
    first = next(column for name, column in table.items() if name.startswith(f"{metric}/"))
    return [name for name, value in zip(table["name"], first, strict=True) if value is None]


def format_class_table(table: Mapping[str, Sequence[Any]], worst_classes: Mapping[str, str]) -> list[str]:
    """Format the entry `classes` of a record as lines of text.

    Args:
        table: The entry `classes` of `describe_classes`.
        worst_classes: The name of the worst class by the name of the metric.

    Returns:
        A heading and a line for each class; of many classes, the first ones and the worst ones. A heading has the name
        of the metric only if several columns would have the same heading. No lines if there is only one value for each
        class, whose worst class the line of the metric names.
    """
    columns = [name for name in table if name != "name"]
    if sum("/" in name and not name.endswith("/images") for name in columns) < 2:
        return []
    rows = list(zip(table["name"], *(table[name] for name in columns), strict=True))
    shown = [row for index, row in enumerate(rows) if index < _MAX_SHOWN_CLASSES or row[0] in worst_classes.values()]
    short = [name.rpartition("/")[2] for name in columns]
    titles = [part if short.count(part) == 1 else name for name, part in zip(columns, short, strict=True)]
    widths = [max(len(title), 8) for title in titles]
    heading = " ".join(f"{title:>{width}}" for title, width in zip(titles, widths, strict=True))
    lines = [f"{'class':{_MAX_NAME_WIDTH}} {heading}"]
    for name, *cells in shown:
        texts = [f"{_format_cell(cell):>{width}}" for cell, width in zip(cells, widths, strict=True)]
        worst = [metric for metric, worst_class in worst_classes.items() if worst_class == name]
        mark = f"  worst {', '.join(worst)}" if worst else ""
        lines.append(f"{name[:_MAX_NAME_WIDTH]:{_MAX_NAME_WIDTH}} {' '.join(texts)}{mark}")
    if len(shown) < len(rows):
        lines.append(f"and {len(rows) - len(shown)} more classes in the record")
    return lines


def _format_cell(cell: float | int | None) -> str:
    return "-" if cell is None else f"{cell:.4f}" if isinstance(cell, float) else str(cell)
