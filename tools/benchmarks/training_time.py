"""Seconds that a run has trained, from its records: without the time to start, trace, evaluate and save."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sagan_tf.text import read_text


def read_records(run_dir: Path) -> list[dict[str, Any]]:
    """Read `metrics.jsonl`; empty if there is none. A line that is written at the moment is left out."""
    path = run_dir / "metrics.jsonl"
    lines = read_text(path).split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines if line]


def seconds_of_training(run_dir: Path, log: Path) -> float:
    """Sum the seconds of all training steps on record.

    The first steps of a process include the time to trace. They count at the speed of the steps that follow, and not at
    all before these are on record.

    Args:
        run_dir: The directory of the run.
        log: The output of all processes that have trained it.
    """
    resumed = re.findall(r"resumed at step (\d+)", read_text(log, errors="replace")) if log.exists() else []
    starts = {0, *map(int, resumed)}
    records = [record for record in read_records(run_dir) if record["kind"] == "train"]
    seconds, previous = 0.0, 0
    for place, record in enumerate(records):
        traced = any(previous <= start < record["step"] for start in starts)
        following = records[place + 1 : place + 2] if traced else [record]
        if following:
            seconds += (record["step"] - previous) / following[0]["steps_per_second"]
        previous = record["step"]
    return seconds
