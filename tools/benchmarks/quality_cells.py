"""Cells of the quality benchmark: one setting trained with one seed, and evaluated.

RUN_DIR/SETTING/seed_0/                  the training run
RUN_DIR/SETTING/seed_0.log               what `sagan_tf.train` and `sagan_tf.evaluate` wrote
RUN_DIR/SETTING/seed_0.evaluation.json   what `sagan_tf.evaluate` found
RUN_DIR/SETTING/seed_0.json              the record of the cell

A cell that has finished, or that training stopped as unhealthy, is not run again. One that failed, because of a wrong
flag or a full disk, or that was interrupted, goes on.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sagan_tf.config import Config
from sagan_tf.files import write_atomically
from sagan_tf.text import read_text
from tools.benchmarks.quality_processes import STOPPED, run_process
from tools.benchmarks.quality_records import (
    FAILED,
    FINISHED,
    READINGS,
    UNFINISHED,
    configuration,
    describe_failure,
    last_reading,
    read_record,
    values_of,
)
from tools.benchmarks.quality_settings import Setting
from tools.benchmarks.training_time import read_records, seconds_of_training

_STEPS_WITHOUT_END = 10_000_000


@dataclasses.dataclass(frozen=True)
class Limit:
    """When training ends; one of the two is 0.

    Attributes:
        steps: Generator updates.
        minutes: Minutes of training, without the time to trace, to evaluate and to save.
    """

    steps: int
    minutes: float


@dataclasses.dataclass(frozen=True)
class Cell:
    """One setting with one seed.

    Attributes:
        setting: What is trained.
        seed: The seed of the run.
        limit: When training ends.
        flags: The flags of all cells, which come before those of the setting.
        directory: The directory of the benchmark.
        config: What all these flags and those of the setting say.
    """

    setting: Setting
    seed: int
    limit: Limit
    flags: tuple[str, ...]
    directory: Path
    config: Config

    @property
    def name(self) -> str:
        """A name for messages."""
        return f"{self.setting.name}, seed {self.seed}"

    @property
    def run_dir(self) -> Path:
        """The directory of the training run."""
        return self.directory / self.setting.name / f"seed_{self.seed}"

    def beside(self, ending: str) -> Path:
        """Return the path of a file beside the training run."""
        return self.run_dir.with_name(self.run_dir.name + ending)

    @property
    def num_steps(self) -> int:
        """Steps after which training ends by itself: those of the limit, but none in which the learning rates are 0."""
        end = self.config.training.learning_rate_end
        return min(self.limit.steps or _STEPS_WITHOUT_END, end or _STEPS_WITHOUT_END)

    def ended_early(self, record: dict[str, Any]) -> bool:
        """Return whether the learning rates of a cell that has finished were 0 before its minutes were over."""
        seconds = 60.0 * self.limit.minutes
        return record["step"] == self.num_steps and record["training_seconds"] < seconds

    def train_command(self) -> list[str]:
        """Return the command that trains, or goes on with training."""
        flags = [*self.flags, *self.setting.flags, f"--seed={self.seed}", f"--run_dir={self.run_dir}"]
        return [sys.executable, "-m", "sagan_tf.train", *flags, f"--num_steps={self.num_steps}"]

    def evaluate_command(self) -> list[str]:
        """Return the command that evaluates the trained generator by the metrics of the run."""
        output = self.beside(".evaluation.json")
        return [sys.executable, "-m", "sagan_tf.evaluate", f"--run_dir={self.run_dir}", f"--output={output}"]

    def run(self) -> dict[str, Any]:
        """Train and evaluate, unless the record says that this was done; return the record.

        Raises:
            UserError: The record is damaged, or is of another configuration or of another limit.
        """
        record = read_record(self.beside(".json"), self.run_dir, self._identity())
        if record is None or record["status"] in (UNFINISHED, FAILED):
            seconds = record["cpu_seconds"] if record else 0.0
            record = self._identity() | {"status": UNFINISHED, "cpu_seconds": seconds}
            self.run_dir.parent.mkdir(parents=True, exist_ok=True)
            record |= self._run(record)
            self._write(record)
        return record

    def _run(self, record: dict[str, Any]) -> dict[str, Any]:
        if not self._is_trained():
            status, cpu_seconds, output = self._run_command(self.train_command(), self._watch())
            record["cpu_seconds"] += cpu_seconds
            self._write(record)
            if status not in (0, STOPPED):
                return describe_failure(status, output)
        status, _, output = self._run_command(self.evaluate_command())
        if status:
            return describe_failure(status, output)
        return {"status": FINISHED} | self._measured(json.loads(read_text(self.beside(".evaluation.json"))))

    def _run_command(self, command: list[str], is_over: Callable[[], bool] | None = None) -> tuple[int, float, str]:
        """Run a command; return its exit status, its CPU seconds and what it wrote."""
        log = self.beside(".log")
        written_before = log.stat().st_size if log.exists() else 0
        status, cpu_seconds = run_process(command, log, is_over)
        return status, cpu_seconds, log.read_bytes()[written_before:].decode(errors="replace")

    def _measured(self, evaluation: dict[str, Any]) -> dict[str, Any]:
        records = read_records(self.run_dir)
        trained = [one for one in records if one["kind"] == "train"]
        images_per_step = round(trained[-1]["images_per_second"] / trained[-1]["steps_per_second"])
        return {
            "step": evaluation["step"],
            "images_seen": evaluation["step"] * images_per_step,
            "training_seconds": self._seconds(),
            **{name: last_reading(records, reading.scalar) for name, reading in READINGS.items()},
            "values": values_of(evaluation),
            "worst_class": next(iter(evaluation.get("worst_class", {}).values()), None),
        }

    def _watch(self) -> Callable[[], bool]:
        """Return what tells a process to end. Records that it has not touched may be of steps that were lost."""
        path = self.run_dir / "metrics.jsonl"

        def modified() -> int:
            return path.stat().st_mtime_ns if path.exists() else 0

        before = modified()
        return lambda: modified() != before and self._is_over()

    def _is_over(self) -> bool:
        return bool(self.limit.minutes) and self._seconds() >= 60.0 * self.limit.minutes

    def _is_trained(self) -> bool:
        """Return whether all minutes are over and saved: the benchmark was ended while it evaluated."""
        saved = [int(path.stem.rpartition("-")[2]) for path in (self.run_dir / "checkpoints").glob("step-*.index")]
        records = read_records(self.run_dir)
        return self._is_over() and bool(saved) and max(saved) >= records[-1]["step"]

    def _seconds(self) -> float:
        return seconds_of_training(self.run_dir, self.beside(".log"))

    def _identity(self) -> dict[str, Any]:
        about = {"setting": self.setting.name, "seed": self.seed, "flags": [*self.flags, *self.setting.flags]}
        return about | dataclasses.asdict(self.limit) | {"configuration": configuration(self.config)}

    def _write(self, record: dict[str, Any]) -> None:
        write_atomically(self.beside(".json"), json.dumps(record, indent=1) + "\n")
