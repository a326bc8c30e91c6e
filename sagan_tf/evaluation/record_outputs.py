"""Outputs of an evaluation's record: a table in the log, a JSON file, and the records of a run."""

from __future__ import annotations

import json
import logging
import os
import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.evaluation.class_values import find_omitted_classes, format_class_table
from sagan_tf.evaluation.metrics import Metric
from sagan_tf.evaluation.record_values import to_scalar_values
from sagan_tf.files import (
    append_line,
    check_can_append,
    check_can_write_directory,
    check_can_write_file,
    write_atomically,
)
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.runs.system_errors import explain_write_errors
from sagan_tf.text import format_names

_logger = logging.getLogger("sagan_tf")
_MAX_LISTED_CLASSES = 5
_MIN_NAME_WIDTH, _MIN_VALUE_WIDTH = 22, 36
"""Characters of the columns of a table."""


class RecordOutputs:
    """Files that a record is written to, checked before the evaluation begins.

    Args:
        output: Path of a JSON file; empty for none.
        directory: Directory of the evaluated run, if any. With `output`, a run directory that cannot be written is
            skipped with a warning.

    Raises:
        UserError: `output` cannot be written, or there is no `output` and the run directory cannot be written.
    """

    def __init__(self, output: str, directory: RunDirectory | None) -> None:
        self._output = pathlib.Path(os.path.expanduser(output)) if output else None
        self._directory = directory
        if self._output is not None:
            check_can_write_file(self._output, "output")
        if directory is None:
            return
        try:
            check_can_append(directory.metrics, "run_dir")
            check_can_write_directory(directory.tensorboard, "run_dir")
        except UserError as error:
            if self._output is None:
                raise UserError(f"{error}; to write the result only to a file, pass --output=FILE") from error
            _logger.warning("%s. The result is written to --output only", error)
            self._directory = None

    def write(self, record: dict[str, Any], metrics: list[Metric]) -> None:
        """Write a record to all outputs.

        A failure of one output does not prevent writing to the remaining outputs.

        Args:
            record: The record, with a value for the name of every metric.
            metrics: The metrics, for TensorBoard.

        Raises:
            UserError: An output could not be written. The record has then been logged.
        """
        failures = []
        for path, write in self._create_writers(record, metrics):
            try:
                with explain_write_errors(path):
                    write()
            except UserError as error:
                failures.append(str(error))
        if failures:
            _logger.info("%s", json.dumps(record))
            raise UserError("; ".join(failures))

    def _create_writers(
        self, record: dict[str, Any], metrics: list[Metric]
    ) -> list[tuple[pathlib.Path, Callable[[], None]]]:
        output, directory = self._output, self._directory
        writers: list[tuple[pathlib.Path, Callable[[], None]]] = []
        if output is not None:
            writers.append((output, lambda: write_atomically(output, json.dumps(record, indent=2) + "\n")))
        if directory is not None:
            writers.append((directory.metrics, lambda: append_line(directory.metrics, json.dumps(record))))
            writers.append((directory.tensorboard, lambda: _write_scalars(record, metrics, directory.tensorboard)))
        return writers


def _write_scalars(record: dict[str, Any], metrics: list[Metric], directory: pathlib.Path) -> None:
    """Write the metrics as TensorBoard scalars."""
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default(step=record["step"]):
        for metric in metrics:
            for name, value in to_scalar_values(metric.name, record[metric.name]).items():
                tf.summary.scalar(f"evaluation/{name}", value)
    writer.close()


def print_table(record: dict[str, Any], metrics: list[Metric]) -> None:
    """Log a record as a table with a line for each metric, and a table with a line for each class."""
    subject = f"step {record['step']}, {record['generator_weights']} weights" if "step" in record else record["images"]
    labels = record.get("evaluation_labels")
    details = f"; labels {labels}" if labels else ""
    if record.get("precision", "float32") != "float32":
        details += f"; precision {record['precision']}"
    _logger.info("%s; extractor %s%s", subject, record["extractor"], details)
    if record["reference"]:
        _logger.info("reference: %s, %d images", record["reference"]["images"], record["reference"]["num_samples"])
    if "held_out" in record:
        _logger.info("held out: %s, %d images", record["held_out"]["images"], record["held_out"]["num_samples"])
    texts = {metric.name: _format_value(metric.name, record) for metric in metrics}
    widths = max(_MIN_NAME_WIDTH, *map(len, texts)), max(_MIN_VALUE_WIDTH, *map(len, texts.values()))
    for metric in metrics:
        lower_is_better = metric.family.lower_is_better
        direction = "" if lower_is_better is None else f"  ({'lower' if lower_is_better else 'higher'} is better)"
        count = record["num_samples"][metric.name]
        name, text = metric.name.ljust(widths[0]), texts[metric.name].ljust(widths[1])
        _logger.info("  %s %s %8d images%s", name, text, count, direction)
    for line in format_class_table(record.get("classes", {}), record.get("worst_class", {})):
        _logger.info("  %s", line)
    for name in record.get("num_classes", {}):
        if omitted := find_omitted_classes(name, record["classes"]):
            _logger.info("  %s has no value for %s", name, format_names(omitted, _MAX_LISTED_CLASSES))


def _format_value(name: str, record: dict[str, Any]) -> str:
    """Return the value of a metric in a record as text."""
    value = record[name]
    if isinstance(value, dict):
        worst_class = record.get("worst_class", {}).get(name)
        parts = "  ".join(f"{part} {number:.4f}" for part, number in value.items())
        if worst_class is None:
            return parts
        num_measured, num_classes = record["num_classes"][name], len(record["classes"]["name"])
        coverage = f"  {num_measured} of {num_classes} classes" if num_measured < num_classes else ""
        return f"{parts} ({worst_class}){coverage}"
    error = record.get(f"{name}_standard_error")
    return f"{value:.4f}" if error is None else f"{value:.4f} +- {error:.4f}"
