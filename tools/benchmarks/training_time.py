"""Seconds of training of a run, from its records, without the time for starting, tracing, evaluating and saving."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sagan_tf.text import read_text


def read_records(run_dir: Path) -> list[dict[str, Any]]:
    """Read the complete lines of `metrics.jsonl`; empty if there is no file."""
    path = run_dir / "metrics.jsonl"
    lines = read_text(path).split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines if line]


def compute_training_seconds(run_dir: Path, log: Path) -> float:
    """Sum the seconds of all recorded training steps.

    The time of a process's first steps includes tracing. They count with the speed of the steps that follow, and not at
    all until these are recorded.

    Args:
        run_dir: The directory of the run.
        log: The file with the output of all processes that have trained the run.

    Returns:
        The seconds of training.
    """
    resumed = re.findall(r"resumed at step (\d+)", read_text(log, errors="replace")) if log.exists() else []
    starts = {0, *map(int, resumed)}
    records = [record for record in read_records(run_dir) if record["kind"] == "train"]
    seconds, previous = 0.0, 0
    for index, record in enumerate(records):
        includes_tracing = any(previous <= start < record["step"] for start in starts)
        timed = records[index + 1 : index + 2] if includes_tracing else [record]
        if timed:
            seconds += (record["step"] - previous) / timed[0]["steps_per_second"]
        previous = record["step"]
    return seconds
