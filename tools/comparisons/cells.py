"""Cells of a comparison. A cell is one setting, trained with one seed and evaluated.

RUN_DIR/SETTING/seed_0/                  the training run
RUN_DIR/SETTING/seed_0.log               the output of `sagan_tf.train` and `sagan_tf.evaluate`
RUN_DIR/SETTING/seed_0.evaluation.json   the result of `sagan_tf.evaluate`
RUN_DIR/SETTING/seed_0.json              the record of the cell

A cell that has finished, or that training stopped as unhealthy, is not run again. A cell that failed, because of a
wrong flag or a full disk, or that was interrupted, continues.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from sagan_tf.config import Config
from sagan_tf.files import write_atomically
from sagan_tf.text import read_text
from tools.comparisons.log_lock import open_locked_log
from tools.comparisons.processes import STOPPED, run_process
from tools.comparisons.records import (
    FAILED,
    FINISHED,
    READINGS,
    RUNNING,
    UNFINISHED,
    UNHEALTHY,
    compute_training_seconds,
    describe_failure,
    find_last_reading,
    find_saved_step,
    flatten_metrics,
    format_option_values,
    read_num_replicas,
    read_record,
    read_run_records,
)
from tools.comparisons.settings import Setting
from tools.machine import describe_origin

_STEPS_WITHOUT_END = 10_000_000


@dataclasses.dataclass(frozen=True)
class Limit:
    """The end of training, in steps or in minutes. The other attribute is 0.

    Attributes:
        steps: Generator updates.
        minutes: Minutes of training, without the time for tracing, evaluating and saving.
    """

    steps: int
    minutes: float


@dataclasses.dataclass(frozen=True)
class Cell:
    """One setting with one seed.

    Attributes:
        setting: The setting.
        seed: The seed of the run.
        limit: The end of training.
        flags: The flags of all cells, which precede those of the setting.
        directory: The directory of the comparison.
        config: The configuration that `flags` and the flags of the setting describe.
    """

    setting: Setting
    seed: int
    limit: Limit
    flags: tuple[str, ...]
    directory: Path
    config: Config

    @property
    def name(self) -> str:
        """Return the name of the cell for messages."""
        return f"{self.setting.name}, seed {self.seed}"

    @property
    def run_dir(self) -> Path:
        """Return the directory of the training run."""
        return self.directory / self.setting.name / f"seed_{self.seed}"

    def path_with_suffix(self, suffix: str) -> Path:
        """Return the path of a file beside the directory of the training run."""
        return self.run_dir.with_name(self.run_dir.name + suffix)

    @property
    def num_steps(self) -> int:
        """Return the steps after which training ends by itself.

        This is the limit, but at most the step at which the learning rates reach 0.
        """
        end = self.config.training.learning_rate_end
        return min(self.limit.steps or _STEPS_WITHOUT_END, end or _STEPS_WITHOUT_END)

    def has_ended_early(self, record: dict[str, Any]) -> bool:
        """Return whether the learning rates of a finished cell reached 0 before its limit."""
        seconds = 60.0 * self.limit.minutes
        return record["step"] == self.num_steps and record["training_seconds"] < seconds

    def create_train_command(self) -> list[str]:
        """Return the command that starts or continues training."""
        flags = [*self.flags, *self.setting.flags, f"--seed={self.seed}", f"--run_dir={self.run_dir}"]
        return [sys.executable, "-m", "sagan_tf.train", *flags, f"--num_steps={self.num_steps}"]

    def create_evaluate_command(self) -> list[str]:
        """Return the command that computes the metrics of the trained generator.

        Its latents and labels are those of the evaluations during training, so that their values can be compared.
        """
        output = self.path_with_suffix(".evaluation.json")
        flags = [f"--run_dir={self.run_dir}", f"--seed={self.seed}", f"--output={output}"]
        return [sys.executable, "-m", "sagan_tf.evaluate", *flags]

    def format_commands(self) -> tuple[str, str]:
        """Return the commands that train and evaluate, as lines of a shell script."""
        return shlex.join(self.create_train_command()), shlex.join(self.create_evaluate_command())

    def describe(self, record: dict[str, Any]) -> str:
        """Return one line that says how the cell ended, and what to do if it has not finished.

        Args:
            record: The record of the cell.
        """
        if record["status"] == FINISHED:
            values = ", ".join(f"{name} {value:.4g}" for name, value in record["values"].items())
            early = ", when its learning rates were 0" if self.has_ended_early(record) else ""
            return f"{self.name}: {record['step']} steps in {record['training_seconds']:.0f} s{early}: {values}"
        if record["status"] == UNHEALTHY:
            path = self.path_with_suffix(".json")
            return f"{self.name}: stopped: unhealthy: {record['message']} (remove {path} to try again)"
        if record["status"] == RUNNING:
            return f"{self.name}: running: {record['message']}"
        if record["status"] == FAILED:
            return f"{self.name}: failed: {record['message']}; run the same command to try again"
        return f"{self.name}: unfinished: {record['message']}; run the same command to continue"

    def read_record(self) -> dict[str, Any] | None:
        """Read the record of the cell; None if the cell has not been started.

        Raises:
            UserError: The record is damaged, or has another configuration or another limit.
        """
        return read_record(self.path_with_suffix(".json"), self.run_dir, self.describe_identity())

    def describe_identity(self) -> dict[str, Any]:
        """Return the values with which the record of the cell begins."""
        identity = {"setting": self.setting.name, "seed": self.seed, "flags": [*self.flags, *self.setting.flags]}
        return identity | dataclasses.asdict(self.limit) | {"configuration": format_option_values(self.config)}

    def write_record(self, record: dict[str, Any]) -> None:
        """Write the record of the cell."""
        write_atomically(self.path_with_suffix(".json"), json.dumps(record, indent=1) + "\n")

    def run(self) -> dict[str, Any]:
        """Train and evaluate, unless the record shows that this has been done.

        Returns:
            The record of the cell.

        Raises:
            UserError: The record is damaged, or has another configuration or another limit.
        """
        record = self.read_record()
        if record is None or record["status"] in (UNFINISHED, FAILED):
            seconds = record["cpu_seconds"] if record else 0.0
            record = self.describe_identity() | {"status": UNFINISHED, "cpu_seconds": seconds} | describe_origin()
            self.run_dir.parent.mkdir(parents=True, exist_ok=True)
            with open_locked_log(self.path_with_suffix(".log"), self.run_dir, self.name) as log:
                self.write_record(record)
                record |= self._train_and_evaluate(record, log)
                ended = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
                record |= {"replicas": read_num_replicas(self.run_dir), "ended": ended}
                self.write_record(record)  # Before the lock ends: without it, the cell would seem to be interrupted.
        return record

    def _train_and_evaluate(self, record: dict[str, Any], log: IO[bytes]) -> dict[str, Any]:
        if not self._is_trained():
            command = self.create_train_command()
            status, cpu_seconds, output = self._run_command(command, log, self._create_stop_condition())
            record["cpu_seconds"] += cpu_seconds
            self.write_record(record)
            if status not in (0, STOPPED):
                return describe_failure(status, output)
        status, _, output = self._run_command(self.create_evaluate_command(), log)
        if status:
            return describe_failure(status, output)
        return {"status": FINISHED} | self._collect_results(
            json.loads(read_text(self.path_with_suffix(".evaluation.json")))
        )

    def _run_command(
        self, command: list[str], log: IO[bytes], is_over: Callable[[], bool] | None = None
    ) -> tuple[int, float, str]:
        """Run a command; return its exit status, CPU seconds and output."""
        path = self.path_with_suffix(".log")
        written_before = path.stat().st_size
        status, cpu_seconds = run_process(command, log, is_over)
        return status, cpu_seconds, path.read_bytes()[written_before:].decode(errors="replace")

    def _collect_results(self, evaluation: dict[str, Any]) -> dict[str, Any]:
        records = read_run_records(self.run_dir)
        trained = [record for record in records if record["kind"] == "train"]
        images_per_step = round(trained[-1]["images_per_second"] / trained[-1]["steps_per_second"])
        return {
            "step": evaluation["step"],
            "images_seen": evaluation["step"] * images_per_step,
            "training_seconds": self._compute_training_seconds(),
            **{name: find_last_reading(records, reading.scalar) for name, reading in READINGS.items()},
            "values": flatten_metrics(evaluation),
            "worst_class": next(iter(evaluation.get("worst_class", {}).values()), None),
        }

    def _create_stop_condition(self) -> Callable[[], bool]:
        """Create a function that returns whether training should be stopped.

        It returns False until the process has written records: older ones may belong to steps that were lost.
        """
        path = self.run_dir / "metrics.jsonl"

        def modified() -> int:
            return path.stat().st_mtime_ns if path.exists() else 0

        before = modified()
        return lambda: modified() != before and self._is_over()

    def _is_over(self) -> bool:
        return bool(self.limit.minutes) and self._compute_training_seconds() >= 60.0 * self.limit.minutes

    def _is_trained(self) -> bool:
        """Return whether training has reached its minutes and has been saved.

        This is so if the comparison was interrupted during the evaluation.
        """
        records = read_run_records(self.run_dir)
        return self._is_over() and find_saved_step(self.run_dir) >= records[-1]["step"]

    def _compute_training_seconds(self) -> float:
        return compute_training_seconds(self.run_dir, self.path_with_suffix(".log"))
