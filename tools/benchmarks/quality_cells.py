"""Cells of the quality benchmark: one setting trained with one seed, and evaluated.

RUN_DIR/SETTING/seed_0/                  the training run
RUN_DIR/SETTING/seed_0.log               what `sagan_tf.train` and `sagan_tf.evaluate` wrote
RUN_DIR/SETTING/seed_0.evaluation.json   what `sagan_tf.evaluate` found
RUN_DIR/SETTING/seed_0.json              the record of the cell; a cell that has finished or died is not run again
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sagan_tf.errors import UserError
from sagan_tf.files import write_atomically
from sagan_tf.text import read_text
from sagan_tf.training.health_signs import HELD_OUT_GAP, LATENT_RANK, OVERFITTING
from tools.benchmarks.quality_processes import STOPPED, run_process
from tools.benchmarks.quality_settings import Setting
from tools.benchmarks.training_time import read_records, seconds_of_training

FINISHED, DIED, UNFINISHED = "finished", "died", "unfinished"
_STEPS_WITHOUT_END = 10_000_000


class Reading(NamedTuple):
    """A reading of a run's health that the record of a cell has.

    Attributes:
        scalar: Its name in `metrics.jsonl`.
        heading: Its heading in the table.
        form: How the table shows a number.
    """

    scalar: str
    heading: str
    form: str


READINGS = {
    "stable_rank": Reading(LATENT_RANK, "rank", ".1f"),
    "held_out_gap": Reading(HELD_OUT_GAP, "held-out gap", ".3f"),
    "overfitting": Reading(OVERFITTING, "overfitting", ".2f"),
}
"""The readings by their names in the record."""


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
    """

    setting: Setting
    seed: int
    limit: Limit
    flags: tuple[str, ...]
    directory: Path

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

    def train_command(self) -> list[str]:
        """Return the command that trains, or goes on with training."""
        flags = [*self.flags, *self.setting.flags, f"--seed={self.seed}", f"--run_dir={self.run_dir}"]
        return [sys.executable, "-m", "sagan_tf.train", *flags, f"--num_steps={self.limit.steps or _STEPS_WITHOUT_END}"]

    def evaluate_command(self) -> list[str]:
        """Return the command that evaluates the trained generator by the metrics of the run."""
        output = self.beside(".evaluation.json")
        return [sys.executable, "-m", "sagan_tf.evaluate", f"--run_dir={self.run_dir}", f"--output={output}"]

    def read(self) -> dict[str, Any] | None:
        """Read the record of the cell; None if there is none.

        Raises:
            UserError: The record is damaged, or is of other flags or of another limit.
        """
        path = self.beside(".json")
        if not path.exists():
            return None
        try:
            record = dict(json.loads(read_text(path)))
        except (ValueError, TypeError) as error:
            raise UserError(f"run_dir: expected the record of a cell in {path}, received something else") from error
        for name, value in self._identity().items():
            if record.get(name) != value:
                raise UserError(
                    f"run_dir: expected {name} {value} in {path}, received {record.get(name)}; give another --run_dir, "
                    "or remove the directory of that setting"
                )
        return record

    def run(self) -> dict[str, Any]:
        """Train and evaluate, unless the record says that this was done; return the record."""
        record = self.read() or self._identity() | {"status": UNFINISHED, "cpu_seconds": 0.0}
        if record["status"] == UNFINISHED:
            self.run_dir.parent.mkdir(parents=True, exist_ok=True)
            record |= self._run(record)
            self._write(record)
        return record

    def _run(self, record: dict[str, Any]) -> dict[str, Any]:
        log = self.beside(".log")
        if not self._is_trained():
            status, cpu_seconds = run_process(self.train_command(), log, self._watch())
            record["cpu_seconds"] += cpu_seconds
            self._write(record)
            if status not in (0, STOPPED):
                return _failure(status, log)
        status, _ = run_process(self.evaluate_command(), log)
        if status:
            return _failure(status, log)
        return {"status": FINISHED} | self._measured(json.loads(read_text(self.beside(".evaluation.json"))))

    def _measured(self, evaluation: dict[str, Any]) -> dict[str, Any]:
        records = read_records(self.run_dir)
        trained = [one for one in records if one["kind"] == "train"]
        images_per_step = round(trained[-1]["images_per_second"] / trained[-1]["steps_per_second"])
        return {
            "step": evaluation["step"],
            "images_seen": evaluation["step"] * images_per_step,
            "training_seconds": self._seconds(),
            **{name: _last(records, reading.scalar) for name, reading in READINGS.items()},
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
        flags = [*self.flags, *self.setting.flags]
        return {"setting": self.setting.name, "seed": self.seed, "flags": flags} | dataclasses.asdict(self.limit)

    def _write(self, record: dict[str, Any]) -> None:
        write_atomically(self.beside(".json"), json.dumps(record, indent=1) + "\n")


def values_of(record: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of an evaluation record as single numbers, such as `precision_recall10k/recall`."""
    values: dict[str, float] = {}
    for name in record["num_samples"]:
        value = record[name]
        values |= {f"{name}/{part}": one for part, one in value.items()} if isinstance(value, dict) else {name: value}
    return values


def _last(records: list[dict[str, Any]], name: str) -> float | None:
    """Return the last value of a scalar in the lines of `metrics.jsonl`, or None if no line has it."""
    return next((one[name] for one in reversed(records) if name in one), None)


def _failure(status: int, log: Path) -> dict[str, Any]:
    """Describe a process that failed. One that a signal ended, whoever sent it, can go on."""
    lines = [line for line in read_text(log, errors="replace").splitlines() if line.strip()] or ["it wrote nothing"]
    said = next((line for line in reversed(lines) if re.search(r"error: ", line)), lines[-1])
    if status < 0 or status > 128:
        return {"status": UNFINISHED, "message": f"ended by signal {-status if status < 0 else status - 128}"}
    return {"status": DIED, "message": f"exit status {status}: {said.strip()[:500]}"}
