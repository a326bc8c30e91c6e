"""Log of a run's metrics, `metrics.jsonl`, with one JSON object per line."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from sagan_tf.files import write_atomically
from sagan_tf.runs.evaluation_protocol import DURING_TRAINING
from sagan_tf.text import read_text


def read_metrics(path: pathlib.Path) -> list[dict[str, Any]]:
    """Return the lines of a `metrics.jsonl` in order, without those that a crash left incomplete.

    Returns:
        JSON objects, each with a step; empty if there is no such file.
    """
    return [line for _, line in _read_lines(path)]


def drop_lines_after(path: pathlib.Path, step: int) -> None:
    """Remove lines of later steps and incomplete lines from a `metrics.jsonl`."""
    _keep_lines(path, lambda line: line["step"] <= step)


def drop_training_evaluations_at(path: pathlib.Path, step: int) -> None:
    """Remove the evaluations that training made at one step from a `metrics.jsonl`; others stay."""
    _keep_lines(path, lambda line: line["step"] != step or DURING_TRAINING not in line)


def _keep_lines(path: pathlib.Path, is_wanted: Callable[[dict[str, Any]], bool]) -> None:
    if path.exists():
        write_atomically(path, "".join(f"{text}\n" for text, line in _read_lines(path) if is_wanted(line)))


def _read_lines(path: pathlib.Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the text and the JSON object of every complete line."""
    for text in read_text(path, errors="replace").splitlines() if path.is_file() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            yield text, line


def find_evaluation(metrics: pathlib.Path, step: int, weights: str) -> dict[str, Any] | None:
    """Find the last evaluation of a step's generator in a `metrics.jsonl`.

    Args:
        metrics: Path of the `metrics.jsonl`.
        step: Step of the checkpoint.
        weights: `ema` or `live`.

    Returns:
        The line's JSON object; None if the generator was not evaluated.
    """
    found = None
    for line in read_metrics(metrics):
        if (line.get("kind"), line["step"]) == ("evaluation", step):
            found = line if line.get("generator_weights", "ema") == weights else found
    return found
