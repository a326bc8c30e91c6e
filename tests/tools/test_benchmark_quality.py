"""Tests of the quality benchmark without processes: its commands, table, files and errors."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from sagan_tf.errors import CommandEndedError
from tests.tools.comparisons.toy_cells import make_cells
from tests.tools.fake_processes import FakeProcesses, rows_of
from tools import benchmark
from tools.benchmarks import quality
from tools.benchmarks import quality_results as results


def test_table_csv_and_plot(processes: FakeProcesses, flags: list[str], tmp_path: pathlib.Path, capsys) -> None:
    assert benchmark.run([*flags, "--steps=300", "--evaluate_every=100"]) == 0
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
    assert train[2] == "sagan_tf.train" and {"--base_channels=32", "--seed=0", "--num_steps=300"} <= set(train)


@pytest.mark.parametrize(("scalar", "is_drawn"), [("health/latent_stable_rank", False), ("health/overfitting", True)])
def test_a_plot_without_evaluations(scalar: str, is_drawn: bool, tmp_path: pathlib.Path) -> None:
    lines = [json.dumps({"kind": "health", "step": step, scalar: 0.5}) for step in (10, 20)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert bool(results.draw_charts([("plain", tmp_path)])) == is_drawn


def test_the_plot_has_no_evaluations_after_training(tmp_path: pathlib.Path, monkeypatch) -> None:
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(results, "draw_line_charts", lambda charts: drawn.update(charts) or "")
    line = {"kind": "evaluation", "num_samples": {"pr": 9}, "pr": {"recall": 0.5}, "during_training": True}
    later = line | {"pr": {"recall": 0.9}}
    del later["during_training"]
    lines = [line | {"step": 10}, line | {"step": 20}, later | {"step": 10}]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    results.draw_charts([("plain", tmp_path)])
    assert drawn["recall"] == {"plain": [(10, 0.5), (20, 0.5)]}


def test_minutes_limit_training_without_tracing(processes: FakeProcesses, flags: list[str], tmp_path) -> None:
    assert benchmark.run([*flags, "--minutes=1.5"]) == 0
    assert {(row["step"], row["training_seconds"]) for row in rows_of(tmp_path)} == {("500", "100.0")}


def test_a_run_ends_when_its_learning_rates_are_0(processes: FakeProcesses, flags: list[str], tmp_path, capsys) -> None:
    """The rates of the first setting reach 0 after 60 s of the 90 s limit."""
    ends = {"plain": "--learning_rate_decay_steps=250", "wide": "--learning_rate_decay_start=450"}
    (tmp_path / "settings.txt").write_text(
        f"plain --learning_rate_decay_start=50 {ends['plain']}\nwide {ends['wide']}\n"
    )
    assert benchmark.run([*flags, "--minutes=1.5"]) == 0
    assert [(row["setting"], row["step"], row["training_seconds"]) for row in rows_of(tmp_path)] == [
        ("plain", "300", "60.0"),
        ("wide", "500", "100.0"),
    ] * 2
    printed = capsys.readouterr().out
    assert (
        len(re.findall("plain, seed .*learning rates", printed)) == 2 and "wide, seed 0: 500 steps in 100 s:" in printed
    )
    processes.commands.clear()
    assert benchmark.run([*flags, "--steps=301"]) == 2
    error = capsys.readouterr().err
    assert "300" in error and "plain" in error and processes.commands == []


def test_metrics_default_to_those_of_the_flagfile(processes: FakeProcesses, flags: list[str], tmp_path) -> None:
    base = tmp_path / "base.cfg"
    flags = [*flags, "--steps=100", f"--base={base}"]
    lines = ["--attention_resolutions=32", "--extractor=efficientnet_lite0", "--metrics=fcd5k,precision_recall5k"]
    for last, expected in ((2, quality.DEFAULT_METRICS), (3, None)):
        base.write_text("\n".join(lines[:last]) + "\n")
        assert benchmark.run([*flags, f"--run_dir={tmp_path / str(last)}"]) == 0
        train = processes.commands[-2]
        assert [flag for flag in train if flag.startswith("--metrics=")] == (
            [f"--metrics={expected}"] if expected else []
        )
    assert benchmark.run([*flags, "--metrics=kcd1k", f"--run_dir={tmp_path / 'given'}"]) == 0
    assert "--metrics=kcd1k" in processes.commands[-2]


def test_all_settings_are_checked_before_training(processes: FakeProcesses, flags: list[str], tmp_path, capsys) -> None:
    (tmp_path / "settings.txt").write_text("plain\nwide --ema_ramp_up=0.1\n")  # which needs another flag
    assert benchmark.run([*flags, "--steps=100"]) == 2
    assert "ema_ramp_up" in capsys.readouterr().err and processes.commands == []
    assert benchmark.run([*flags, "--steps=100", "--settings=quickstart", "--metrics=fid10k"]) == 2
    assert "fid10k" in capsys.readouterr().err and processes.commands == []


def test_a_dry_run_only_prints_the_commands(processes: FakeProcesses, flags: list[str], tmp_path, capsys) -> None:
    assert benchmark.run([*flags, "--steps=100", "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert sum("sagan_tf.train" in line for line in lines) == sum("sagan_tf.evaluate" in line for line in lines) == 4
    assert processes.commands == [] and not (tmp_path / "runs").exists()


def test_runs_on_two_devices(flags: list[str], tmp_path: pathlib.Path, monkeypatch, capsys) -> None:
    cells = make_cells(tmp_path / "runs", "plain", "wide")
    monkeypatch.setattr(quality, "_create_cells", lambda _: cells)
    (tmp_path / "runs").mkdir()
    assert benchmark.run([*flags, "--steps=4", "--devices=cpu,cpu:0"]) == 0
    assert [(row["setting"], row["status"], row["step"]) for row in rows_of(tmp_path)] == [
        ("plain", "finished", "4"),
        ("wide", "finished", "4"),
    ]
    assert capsys.readouterr().out.count("1 of 1") == 2


def test_a_process_of_a_device_that_dies(flags: list[str], tmp_path: pathlib.Path, monkeypatch, capsys) -> None:
    """The results of the cells that have ended are written before the command ends with an error."""

    def die(*_: object) -> None:
        raise CommandEndedError("the process of cpu:0 died", 1)

    monkeypatch.setattr(quality, "run_on_devices", die)
    assert benchmark.run([*flags, "--steps=100", "--devices=cpu,cpu:0"]) == 1
    assert "cpu:0 died" in capsys.readouterr().err
    assert {row["status"] for row in rows_of(tmp_path)} == {"not started"}


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--devices=tpu", "'tpu'"),
        ("--devices=cpu:9999", "'cpu:9999'"),
        ("--seeds=0", "seeds"),
        ("--steps=-1", "steps"),
        ("--minutes=1", "minutes"),
        ("--settings=odd", "'odd'"),
    ],
)
def test_invalid_options_get_one_line(
    flag: str, named: str, processes: FakeProcesses, flags: list[str], capsys
) -> None:
    assert benchmark.run([*flags, "--steps=100", flag]) == 2
    assert named in capsys.readouterr().err and processes.commands == []


@pytest.mark.parametrize(("other", "option"), [("--minutes=1", "--minutes"), ("--steps=100 --dry_run", "--dry_run")])
def test_devices_are_refused_with_minutes_and_a_dry_run(
    other: str, option: str, flags: list[str], tmp_path, capsys
) -> None:
    assert benchmark.run([*flags, "--devices=cpu", *other.split()]) == 2
    error = capsys.readouterr().err
    assert "error: devices: " in error and option in error
    assert not (tmp_path / "runs").exists()
