"""Cells of a comparison. A cell is one setting, trained with one seed and evaluated.

RUN_DIR/SETTING/seed_0/                  the training run
RUN_DIR/SETTING/seed_0.log               the output of `sagan_tf.train` and `sagan_tf.evaluate`
RUN_DIR/SETTING/seed_0.evaluation.json   the result of `sagan_tf.evaluate`
RUN_DIR/SETTING/seed_0.json              the record of the cell

`cell_runs.run_cell` trains and evaluates a cell.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from sagan_tf.config import Config
from sagan_tf.files import write_atomically
from tools.comparisons.records import FAILED, FINISHED, UNHEALTHY, format_option_values, read_record
from tools.comparisons.settings import Setting

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
