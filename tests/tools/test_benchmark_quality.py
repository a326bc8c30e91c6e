"""The quality benchmark without processes: what it runs, keeps, compares and refuses."""

from __future__ import annotations

import csv
import json
import pathlib
import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from tools import benchmark
from tools.benchmarks import quality_cells, quality_results
from tools.benchmarks.quality_processes import STOPPED

RECALL = {"plain": 0.2, "wide": 0.4}
SIGKILLED = -9


class FakeProcesses:
    """Stands for `run_process`: writes what training and evaluation write, and notes the commands."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.statuses: dict[str, list[int]] = {}
        self.steps_before_a_kill = 0

    def __call__(
        self, command: list[str], log: pathlib.Path, is_over: Callable[[], bool] | None = None
    ) -> tuple[int, float]:
        self.commands.append(command)
        flags = dict(re.findall(r"--(\w+)=(\S+)", " ".join(command)))
        run_dir = pathlib.Path(flags["run_dir"])
        name = f"{run_dir.parent.name}/{run_dir.name}"
        if command[2] == "sagan_tf.evaluate":
            self._evaluate(run_dir, flags["output"])
            return 0, 1.0
        status = self.statuses.get(name, [0]).pop(0)
        with log.open("a") as file:
            file.write("sagan_tf.train: error: no such data\n" if status == 2 else "step\n")
        if status != 2:
            status = self._train(run_dir, int(flags["num_steps"]), status, is_over)
        return status, 10.0

    def _train(self, run_dir: pathlib.Path, num_steps: int, status: int, is_over: Callable[[], bool] | None) -> int:
        (run_dir / "checkpoints").mkdir(parents=True, exist_ok=True)
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
                "num_samples": {"precision_recall10k": 1},
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


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> FakeProcesses:
    fake = FakeProcesses()
    monkeypatch.setattr(quality_cells, "run_process", fake)
    return fake


@pytest.fixture
def flags(tmp_path: pathlib.Path) -> list[str]:
    (tmp_path / "settings.txt").write_text("plain\nwide --base_channels=32\n")
    return ["quality", f"--settings={tmp_path / 'settings.txt'}", f"--run_dir={tmp_path / 'runs'}", "--seeds=2"]


def rows_of(tmp_path: pathlib.Path) -> list[dict[str, str]]:
    return list(csv.DictReader((tmp_path / "runs" / "quality.csv").read_text().splitlines()))


def test_table_csv_and_plot(processes: FakeProcesses, flags: list[str], tmp_path: pathlib.Path, capsys) -> None:
    assert benchmark.main([*flags, "--steps=300", "--evaluate_every=100", "--data_dir=data"]) == 0
    printed = capsys.readouterr().out.splitlines()
    heading, plain, wide = printed[-3:]
    names = ["setting", "fcd", "worst class", "precision", "recall", "rank", "overfitting"]
    names += ["images seen", "seconds", "CPU seconds"]
    assert re.split(r"  +", heading)[:-1] == names
    expected = [
        "plain",
        "1.500 ± 0.707",
        "0.100 ± 0.000",
        "0.800 ± 0.000",
        "0.200 ± 0.000",
        "47.0 ± 0.0",
        "0.25 ± 0.00",
    ]
    assert re.split(r"  +", plain) == [*expected, "19,200 ± 0", "60 ± 0", "10 ± 0", "2 of 2"]
    assert "0.400 ± 0.000" in wide
    rows = rows_of(tmp_path)
    assert [(row["setting"], row["seed"]) for row in rows] == [(n, s) for s in "01" for n in ("plain", "wide")]
    assert rows[0]["worst_class"] == "Shirt" and rows[2]["fcd10k"] == "2.0" and rows[0]["step"] == "300"
    drawing = ElementTree.parse(tmp_path / "runs" / "quality.svg").getroot()
    texts = [text.text or "" for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"plain: 0.2", "wide: 0.4", "plain: 47", "plain: 0.25"} <= set(texts)
    train = next(command for command in processes.commands if "wide" in " ".join(command))
    assert f"--data_dir={pathlib.Path('data').absolute()}" in train
    assert train[2] == "sagan_tf.train" and {"--base_channels=32", "--seed=0", "--num_steps=300"} <= set(train)


@pytest.mark.parametrize(("scalar", "is_drawn"), [("health/latent_stable_rank", False), ("health/overfitting", True)])
def test_a_plot_of_readings_alone(scalar: str, is_drawn: bool, tmp_path: pathlib.Path) -> None:
    lines = [json.dumps({"kind": "health", "step": step, scalar: 0.5}) for step in (10, 20)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert bool(quality_results.plot([("plain", tmp_path)])) == is_drawn


def test_minutes_end_training_when_tracing_is_left_out(processes: FakeProcesses, flags: list[str], tmp_path) -> None:
    assert benchmark.main([*flags, "--minutes=1.5"]) == 0
    assert {(row["step"], row["training_seconds"]) for row in rows_of(tmp_path)} == {("500", "100.0")}


def test_finished_cells_are_kept(processes: FakeProcesses, flags: list[str], tmp_path, capsys) -> None:
    assert benchmark.main([*flags, "--steps=100"]) == 0
    first = capsys.readouterr().out
    processes.commands.clear()
    assert benchmark.main([*flags, "--steps=100"]) == 0
    assert processes.commands == [] and capsys.readouterr().out == first
    assert benchmark.main([*flags, "--steps=100", "--seeds=3"]) == 0
    assert [command[2] for command in processes.commands] == ["sagan_tf.train", "sagan_tf.evaluate"] * 2
    assert benchmark.main([*flags, "--steps=200"]) == 2
    assert "steps 200" in capsys.readouterr().err


def test_a_cell_that_died_is_named_and_counted(processes: FakeProcesses, flags: list[str], tmp_path, capsys) -> None:
    processes.statuses["wide/seed_1"] = [2]
    assert benchmark.main([*flags, "--steps=100"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"wide, seed 1: died: .*no such data", printed) and printed.rstrip().endswith("1 of 2, 1 died")
    assert rows_of(tmp_path)[3]["status"] == "died"


@pytest.mark.parametrize("ended", [SIGKILLED, 130])
def test_a_cell_that_was_killed_goes_on(ended: int, processes: FakeProcesses, flags: list[str], tmp_path) -> None:
    processes.statuses["plain/seed_0"] = [ended, 0]
    assert benchmark.main([*flags, "--steps=100"]) == 0
    assert [row["status"] for row in rows_of(tmp_path)] == ["unfinished", *["finished"] * 3]
    processes.commands.clear()
    assert benchmark.main([*flags, "--steps=100"]) == 0
    assert [row["status"] for row in rows_of(tmp_path)] == ["finished"] * 4 and len(processes.commands) == 2
    assert rows_of(tmp_path)[0]["cpu_seconds"] == "20.0"


def test_a_cell_that_was_left_while_it_was_evaluated_is_not_trained_again(
    processes: FakeProcesses, flags: list[str], tmp_path: pathlib.Path
) -> None:
    flags = [*flags, "--minutes=1"]
    assert benchmark.main(flags) == 0
    record = tmp_path / "runs" / "plain" / "seed_0.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"status": "unfinished"}))
    processes.commands.clear()
    assert benchmark.main(flags) == 0
    assert [command[2] for command in processes.commands] == ["sagan_tf.evaluate"]


def test_a_dry_run_prints_the_commands_only(processes: FakeProcesses, flags: list[str], tmp_path, capsys) -> None:
    assert benchmark.main([*flags, "--steps=100", "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert sum("sagan_tf.train" in line for line in lines) == sum("sagan_tf.evaluate" in line for line in lines) == 4
    assert processes.commands == [] and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("flag, named", [("--seeds=0", "seeds"), ("--steps=-1", "steps"), ("--settings=odd", "'odd'")])
def test_mistakes_get_one_line(flag: str, named: str, processes: FakeProcesses, flags: list[str], capsys) -> None:
    assert benchmark.main([*flags, "--steps=100", flag]) == 2
    assert named in capsys.readouterr().err and processes.commands == []
