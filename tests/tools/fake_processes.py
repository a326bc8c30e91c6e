"""Replacements of the processes that a comparison runs, and a benchmark of two settings."""

from __future__ import annotations

import csv
import json
import pathlib
import re
from collections.abc import Callable
from typing import IO

from tools.comparisons.processes import STOPPED

RECALL = {"plain": 0.2, "wide": 0.4}
FCD_DURING_TRAINING = {100: 3.0, 200: 0.5}
SIGKILLED = -9


class FakeProcesses:
    """Replacement of `run_process` that writes the files of training and evaluation, and records the commands."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.statuses: dict[str, list[int]] = {}
        self.error = "no such data"

    def __call__(
        self, command: list[str], log: IO[bytes], is_over: Callable[[], bool] | None = None
    ) -> tuple[int, float]:
        self.commands.append(command)
        flags = dict(re.findall(r"--(\w+)=(\S+)", " ".join(command)))
        run_dir = pathlib.Path(flags["run_dir"])
        name = f"{run_dir.parent.name}/{run_dir.name}"
        if command[2] == "sagan_tf.evaluate":
            self._evaluate(run_dir, flags["output"])
            return 0, 1.0
        status = self.statuses.get(name, [0]).pop(0)
        log.write(f"sagan_tf.train: error: {self.error}\n".encode() if status == 2 else b"step\n")
        log.flush()
        if status != 2:
            status = self._train(run_dir, int(flags["num_steps"]), status, is_over)
        return status, 10.0

    def _train(self, run_dir: pathlib.Path, num_steps: int, status: int, is_over: Callable[[], bool] | None) -> int:
        (run_dir / "checkpoints").mkdir(parents=True, exist_ok=True)
        (run_dir / "startup.json").write_text('{"replicas": 2}')
        for step in range(100, num_steps + 1, 100):
            with (run_dir / "metrics.jsonl").open("a") as file:
                for record in self._records(run_dir, step):
                    file.write(json.dumps(record | {"step": step}) + "\n")
            if is_over is not None and is_over():
                status = STOPPED
            if status:
                break
        if status != SIGKILLED:
            (run_dir / "checkpoints" / f"step-{step}.index").touch()
        return status

    def _records(self, run_dir: pathlib.Path, step: int) -> list[dict]:
        speed = 0.1 if step == 100 else 5.0
        recall = RECALL[run_dir.parent.name] * step / 300
        return [
            {"kind": "train", "steps_per_second": speed, "images_per_second": 64 * speed},
            {
                "kind": "health",
                "health/latent_stable_rank": 50.0 - step / 100,
                "health/overfitting": 0.25 if step > 100 else None,
            },
            {
                "kind": "evaluation",
                "num_samples": {"fcd10k": 1, "precision_recall10k": 1},
                "fcd10k": FCD_DURING_TRAINING.get(step, 9.0),
                "precision_recall10k": {"recall": recall},
            },
        ]

    def _evaluate(self, run_dir: pathlib.Path, output: str) -> None:
        seed = int(run_dir.name.removeprefix("seed_"))
        step = json.loads((run_dir / "metrics.jsonl").read_text().splitlines()[-1])["step"]
        values = {
            "fcd10k": 1.0 + seed,
            "class_agreement10k": {"mean": 0.7, "worst": 0.1},
            "precision_recall10k": {"precision": 0.8, "recall": RECALL[run_dir.parent.name]},
        }
        record = {"step": step, "worst_class": {"class_agreement10k": "Shirt"}, "num_samples": dict.fromkeys(values, 1)}
        pathlib.Path(output).write_text(json.dumps(record | values))


def flags_of_two_settings(tmp_path: pathlib.Path) -> list[str]:
    """Write a file with two settings, and return the command line of a benchmark."""
    (tmp_path / "settings.txt").write_text("plain\nwide --base_channels=32\n")
    return ["quality", f"--settings={tmp_path / 'settings.txt'}", f"--run_dir={tmp_path / 'runs'}", "--seeds=2"]


def rows_of(tmp_path: pathlib.Path) -> list[dict[str, str]]:
    return list(csv.DictReader((tmp_path / "runs" / "quality.csv").read_text().splitlines()))
