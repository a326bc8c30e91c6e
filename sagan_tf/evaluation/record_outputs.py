"""The outputs of an evaluation's record: a table in the log, a file, and the records of a run."""

from __future__ import annotations

import json
import logging
import os
import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.evaluation.metrics import Metric, scalar_values
from sagan_tf.files import (
    append_line,
    check_can_append,
    check_can_write_directory,
    check_can_write_file,
    write_atomically,
)
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.runs.system_errors import explaining_writes

_logger = logging.getLogger("sagan_tf")


class RecordOutputs:
    """The places that take a record, checked before the evaluation begins.

    Args:
        output: The path of a JSON file; empty for none.
        directory: The run that is evaluated, if any. With `output`, a run directory that cannot be written is left
            out with a warning.

    Raises:
        UserError: `output` cannot be written, or without `output` the run directory cannot.
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
        """Write a record everywhere. A failure at one place does not prevent writing to the remaining places.

        Args:
            record: The record, with a value for the name of every metric.
            metrics: The metrics, for TensorBoard.

        Raises:
            UserError: Something could not be written. The record has then been printed.
        """
        failures = []
        for path, write in self._writers(record, metrics):
            try:
                with explaining_writes(path):
                    write()
            except UserError as error:
                failures.append(str(error))
        if failures:
            _logger.info("%s", json.dumps(record))
            raise UserError("; ".join(failures))

    def _writers(self, record: dict[str, Any], metrics: list[Metric]) -> list[tuple[pathlib.Path, Callable[[], None]]]:
        output, directory = self._output, self._directory
        writers: list[tuple[pathlib.Path, Callable[[], None]]] = []
        if output is not None:
            writers.append((output, lambda: write_atomically(output, json.dumps(record, indent=2) + "\n")))
        if directory is not None:
            writers.append((directory.metrics, lambda: append_line(directory.metrics, json.dumps(record))))
            writers.append((directory.tensorboard, lambda: _write_scalars(record, metrics, directory.tensorboard)))
        return writers


def _write_scalars(record: dict[str, Any], metrics: list[Metric], directory: pathlib.Path) -> None:
    """Write the metrics to TensorBoard."""
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default(step=record["step"]):
        for metric in metrics:
            for name, value in scalar_values(metric.name, record[metric.name]).items():
                tf.summary.scalar(f"evaluation/{name}", value)
    writer.close()


def print_table(record: dict[str, Any], metrics: list[Metric]) -> None:
    """Log a record as a table, a line for each metric."""
    what = f"step {record['step']}, {record['generator_weights']} weights" if "step" in record else record["images"]
    labels = record.get("evaluation_labels")
    details = f"; labels {labels}" if labels else ""
    if record.get("precision", "float32") != "float32":
        details += f"; precision {record['precision']}"
    _logger.info("%s; extractor %s%s", what, record["extractor"], details)
    if record["reference"]:
        _logger.info("reference: %s, %d images", record["reference"]["images"], record["reference"]["num_samples"])
    for metric in metrics:
        better = "lower is better" if metric.family.lower_is_better else "higher is better"
        count = record["num_samples"][metric.name]
        _logger.info("  %-22s %-36s %8d images  (%s)", metric.name, _shown(metric.name, record), count, better)


def _shown(name: str, record: dict[str, Any]) -> str:
    value = record[name]
    if isinstance(value, dict):
        worst_class = record.get("worst_class", {}).get(name)
        parts = "  ".join(f"{part} {one:.4f}" for part, one in value.items())
        return parts if worst_class is None else f"{parts} ({worst_class})"
    error = record.get(f"{name}_standard_error")
    return f"{value:.4f}" if error is None else f"{value:.4f} +- {error:.4f}"
