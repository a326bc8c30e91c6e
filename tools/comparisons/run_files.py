"""Readers of the files of a training run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sagan_tf.runs.metrics_log import read_metrics
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.text import read_text


def read_run_records(run_dir: Path) -> list[dict[str, Any]]:
    """Read the complete lines of a run's `metrics.jsonl`; empty if there is no file."""
    return read_metrics(RunDirectory(run_dir).metrics)


def read_startup(run_dir: Path) -> dict[str, Any]:
    """Read `startup.json` of a run; empty if it is missing or damaged."""
    try:
        return dict(json.loads(read_text(RunDirectory(run_dir).startup)))
    except (OSError, ValueError, TypeError):
        return {}


def read_num_replicas(run_dir: Path) -> int | None:
    """Read on how many replicas a run was trained last; None for a run that did not begin.

    Batch statistics are those of each replica, so that runs on different numbers of replicas are not equal.
    """
    replicas = read_startup(run_dir).get("replicas")
    return replicas if isinstance(replicas, int) else None


def find_saved_step(run_dir: Path) -> int:
    """Return the step of the newest checkpoint of a run; 0 if the run has no checkpoint."""
    checkpoints = RunDirectory(run_dir).checkpoints.glob("step-*.index")
    return max((int(path.stem.rpartition("-")[2]) for path in checkpoints), default=0)


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
    records = [record for record in read_run_records(run_dir) if record["kind"] == "train"]
    seconds, previous = 0.0, 0
    for index, record in enumerate(records):
        includes_tracing = any(previous <= start < record["step"] for start in starts)
        timed = records[index + 1 : index + 2] if includes_tracing else [record]
        if timed:
            seconds += (record["step"] - previous) / timed[0]["steps_per_second"]
        previous = record["step"]
    return seconds
