"""Tests of the command without processes: results, cells that die or are interrupted, and errors."""

from __future__ import annotations

import contextlib
import csv
import json
import pathlib
import re

import pytest

from sagan_tf.exporting.model_card import read_git_revision
from sagan_tf.runs.run_lock import lock_file
from tests.tools.fake_processes import SIGKILLED, FakeProcesses
from tools import ablation
from tools.ablations import report
from tools.comparisons.log_lock import open_locked_log


@pytest.fixture
def flags(tmp_path: pathlib.Path) -> list[str]:
    """Return the flags of a study of two settings with two seeds."""
    (tmp_path / "study.txt").write_text("# Two widths.\nplain\nwide --base_channels=32\n")
    flags = [f"--study={tmp_path / 'study.txt'}", f"--run_dir={tmp_path / 'runs'}", "--seeds=2", "--steps=300"]
    return [*flags, "--base=configs/quickstart.cfg", "--evaluate_every=100"]


def read_rows(tmp_path: pathlib.Path) -> list[dict[str, str]]:
    return list(csv.DictReader((tmp_path / "runs" / "results.csv").read_text().splitlines()))


def test_a_study_is_trained_once_and_collected_again(processes: FakeProcesses, flags, tmp_path, capsys) -> None:
    assert ablation.run(flags) == 0
    assert "4 cells: 4 finished" in capsys.readouterr().out
    rows = read_rows(tmp_path)
    assert [(row["setting"], row["seed"]) for row in rows] == [(n, s) for s in "01" for n in ("plain", "wide")]
    assert {(row["best_step"], row["best/fcd10k"], row["last_step"]) for row in rows} == {("200", "0.5", "300")}
    assert [row["last/fcd10k"] for row in rows] == ["1.0", "1.0", "2.0", "2.0"]
    assert {row["replicas"] for row in rows} == {"2"}
    page = (tmp_path / "runs" / "results.md").read_text()
    assert "--study=study.txt --base=configs/quickstart.cfg --seeds=2 --steps=300 --evaluate_every=100`" in page
    record = json.loads((tmp_path / "runs" / "plain" / "seed_0.json").read_text())
    revision = record.get("git_revision")
    assert revision == read_git_revision() and f"| commit | {revision or 'not recorded'} |" in page
    assert f"| cells ended | {record['ended'][:10]}" in page and "commands.txt" not in page
    assert (
        page.startswith("# Two widths (quickstart, 32 px)\n")
        and "| wide | 2 of 2 | 0 | 1 | - | **1.50 ±\N{NO-BREAK SPACE}0.71** |" in page
    )
    assert "![All runs at the last step](last_step.svg)" in page
    assert "![Metrics over training](curves.svg)" in page and str(tmp_path) not in page
    commands = (tmp_path / "runs" / "commands.txt").read_text().splitlines()
    assert [command.split()[2] for command in commands] == ["sagan_tf.train", "sagan_tf.evaluate"] * 4
    assert {"--base_channels=32", "--seed=0", "--num_steps=300"} <= set(commands[2].split())
    processes.commands.clear()
    for again in ([], ["--collect"]):
        (tmp_path / "runs" / "results.md").unlink()
        assert ablation.run([*flags, *again]) == 0
        assert (tmp_path / "runs" / "results.md").read_text() == page and processes.commands == []


def test_results_are_collected_without_the_directory_of_the_data(processes: FakeProcesses, flags, tmp_path, capsys):
    flags = [*flags, "--base=configs/ablations/fashion_mnist_32.cfg"]
    assert ablation.run([*flags, f"--data_dir={tmp_path / 'data'}"]) == 0
    page = (tmp_path / "runs" / "results.md").read_text()
    (tmp_path / "runs" / "results.md").unlink()
    assert ablation.run([*flags, "--collect"]) == 0
    assert (tmp_path / "runs" / "results.md").read_text() == page and "--data_dir=DATA" in page
    assert str(tmp_path) not in page
    assert f"--data_dir={tmp_path / 'data'}" in (tmp_path / "runs" / "commands.txt").read_text()
    assert ablation.run([*flags, f"--data_dir={tmp_path / 'other'}"]) == 2  # training with other data
    error = capsys.readouterr().err
    assert "data_dir" in error and "remove" not in error


def test_settings_with_data_of_their_own_are_collected(processes: FakeProcesses, flags, tmp_path) -> None:
    (tmp_path / "study.txt").write_text(f"# Data.\nplain --data_dir={tmp_path}/own\nwide\n")
    flags = [*flags, f"--study={tmp_path / 'study.txt'}", "--base=configs/ablations/fashion_mnist_32.cfg"]
    assert ablation.run([*flags, f"--data_dir={tmp_path / 'data'}"]) == 0
    assert ablation.run([*flags, "--collect"]) == 0
    assert ablation.run([*flags, "--collect", f"--data_dir={tmp_path / 'moved'}"]) == 0


def test_stored_cells_outside_of_the_results_are_named(processes: FakeProcesses, flags, tmp_path, capsys) -> None:
    def collect(*more: str) -> tuple[str, str]:
        assert ablation.run([*flags, *more]) == 0
        return capsys.readouterr().out, (tmp_path / "runs" / "results.md").read_text()

    settings = "plain\nwide --base_channels=32\nnarrow --base_channels=8\n"
    (tmp_path / "study.txt").write_text(f"{settings}@compare plain wide\n@compare plain narrow\n")
    printed, page = collect("--seeds=11", "--settings=plain,wide")
    assert "stored but" not in printed + page and "1 of the 2 pairs" in page
    text = "stored but not in these results: plain, seeds 2, 3, 4, 5, 6, 7, 8, 9, 10; wide, seeds 0, 1, 2,"
    printed, page = collect("--collect", "--seeds=2", "--settings=plain")
    assert text in printed and f"- {text}" in page and "seed_" not in page.partition("## Commands")[0]
    printed, page = collect("--collect", "--seeds=11", "--settings=plain,wide")
    assert "stored but" not in printed + page


def test_all_records_are_read_before_the_first_run(processes: FakeProcesses, flags, tmp_path, capsys) -> None:
    (tmp_path / "runs" / "wide").mkdir(parents=True)
    (tmp_path / "runs" / "wide" / "seed_1.json").write_text("{}")
    assert ablation.run(flags) == 2
    assert "seed_1.json" in capsys.readouterr().err and processes.commands == []


def test_notes_name_settings_without_evaluations_and_equal_settings(processes: FakeProcesses, flags, tmp_path, capsys):
    (tmp_path / "study.txt").write_text("plain\nsame --run_dir=elsewhere\nwide --base_channels=32\n")
    for every, count in (("100", 1), ("300", 2), ("0", 2)):
        assert ablation.run([*flags, f"--evaluate_every={every}", "--dry_run"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert "same" in lines[0] and "plain" in lines[0] and all(re.match("# |\\S*python", line) for line in lines)
        assert next(index for index, line in enumerate(lines) if line.startswith("# cell")) == count
        assert sum("sagan_tf.train" in line for line in lines) == 4
    assert ablation.run([*flags, "--evaluate_every=300"]) == 0
    assert "300" in capsys.readouterr().out.splitlines()[1]
    assert "--evaluate_every" in (tmp_path / "runs" / "results.md").read_text().partition("## Metrics")[0]


def test_the_page_is_written_if_images_fail(processes: FakeProcesses, flags, tmp_path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(report, "write_images", fail)
    with contextlib.suppress(OSError):
        ablation.run(flags)
    page = (tmp_path / "runs" / "results.md").read_text()
    assert "| wide | 2 of 2 | 0 | 1 | - | **1.50" in page
    assert all((tmp_path / "runs" / name).is_file() for name in re.findall(r"\]\(([\w.]+)\)", page))


def test_a_cell_that_died_is_named_and_counted(processes: FakeProcesses, flags, tmp_path, capsys) -> None:
    processes.statuses["wide/seed_1"], processes.error = [2, 0], "on_unhealthy: the discriminator is dead"
    assert ablation.run(flags) == 0
    printed = capsys.readouterr().out
    assert "died: wide, seed 1" in printed and "1 unhealthy" in printed
    page = (tmp_path / "runs" / "results.md").read_text()
    assert "| wide | 1 of 2 | 1 | 0 | - | 1.00 (n=1) |" in page and str(tmp_path) not in page
    assert re.search("## Runs that died\n\n- wide, seed 1: .*the discriminator is dead", page)
    assert page.count("| died: 0 of 2 against 1 of 2 (Fisher's p 1.00) |") == 2
    assert page.count("|t| of that pair is above 12.71") == 2  # two seeds and one pair
    processes.commands.clear()
    assert ablation.run(flags) == 0 and processes.commands == []


@pytest.mark.parametrize("status", [SIGKILLED, 2])
def test_interrupted_and_failed_cells_continue(status: int, processes: FakeProcesses, flags, tmp_path, capsys) -> None:
    processes.statuses["plain/seed_1"] = [status, 0]
    assert ablation.run(flags) == 1
    assert "plain, seed 1" in capsys.readouterr().err and read_rows(tmp_path)[2]["last_step"] == ""
    processes.commands.clear()
    assert ablation.run(flags) == 0
    assert len(processes.commands) == 2 and all("plain/seed_1" in " ".join(c) for c in processes.commands)
    assert {row["status"] for row in read_rows(tmp_path)} == {"finished"}


def test_single_cells_write_no_results(processes: FakeProcesses, flags, tmp_path, capsys) -> None:
    assert ablation.run([*flags, "--cell=3,0"]) == 0
    trained = [command for command in processes.commands if "sagan_tf.train" in command]
    assert re.findall(r"--run_dir=\S+?(\w+/seed_\d)", str(trained)) == ["wide/seed_1", "plain/seed_0"]
    assert not (tmp_path / "runs" / "results.md").exists() and "cells:" not in capsys.readouterr().out
    assert ablation.run([*flags, "--collect"]) == 1  # two cells have not been started
    printed = capsys.readouterr()
    assert "2 not started" in printed.out and "run the command without --collect to continue" in printed.err
    assert [row["status"] for row in read_rows(tmp_path)] == ["finished", "not started", "not started", "finished"]


def test_a_cell_of_another_process_is_shown_as_running(processes: FakeProcesses, flags, tmp_path, capsys) -> None:
    assert ablation.run([*flags, "--cell=0"]) == 0
    (tmp_path / "runs" / "wide").mkdir()
    run_dir = tmp_path / "runs" / "wide" / "seed_0"
    with open_locked_log(run_dir.with_suffix(".log"), run_dir, "the cell"):
        assert ablation.run([*flags, "--collect"]) == 1
    printed = capsys.readouterr()
    assert "4 cells: 1 finished, 1 running, 2 not started" in printed.out and "wide, seed 0 (running)" in printed.err
    assert [row["status"] for row in read_rows(tmp_path)] == ["finished", "running", "not started", "not started"]
    page = (tmp_path / "runs" / "results.md").read_text()
    assert "0 of 2, 1 running, 1 not started" in page and "- wide, seed 0: running at step 0" in page


def test_a_cell_of_another_process_is_skipped(processes: FakeProcesses, flags, tmp_path, capsys) -> None:
    (tmp_path / "runs" / "plain").mkdir(parents=True)
    with lock_file(tmp_path / "runs" / "plain" / "seed_0.lock", "the cell"):
        assert ablation.run(flags) == 1
    printed = capsys.readouterr().out
    assert re.search(r"plain, seed 0: skipped: .*process \d+", printed) and "1 not started" in printed
    assert not any("plain/seed_0" in " ".join(command) for command in processes.commands)
    assert ablation.run(flags) == 0


@pytest.mark.parametrize("devices", [[], ["--devices=cpu,cpu:0"]], ids=["one", "two"])
def test_a_skipped_cell_does_not_change_the_status_of_a_share(devices, processes, flags, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ablation, "run_on_devices", lambda cells, *_: ablation.run_cells(cells, ""))
    (tmp_path / "runs" / "plain").mkdir(parents=True)
    with lock_file(tmp_path / "runs" / "plain" / "seed_0.lock", "the cell"):
        assert ablation.run([*flags, "--cell=0,1", *devices]) == 0
    assert "wide/seed_0" in str(processes.commands) and "plain/seed_0" not in str(processes.commands)


def test_a_dry_run_prints_numbered_commands(processes: FakeProcesses, flags, tmp_path, capsys) -> None:
    assert ablation.run([*flags, "--dry_run", "--seconds_per_step=3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3] == "# cell 1: wide, seed 0" and "--base_channels=32" in lines[4]
    assert sum("sagan_tf.train" in line for line in lines) == 4
    # The quickstart updates the discriminator twice in a step: 4 x 300 x 3 s x 3 / 2 are 1.5 h.
    assert "1.5 h" in lines[-1] and "not measured" in lines[-1]
    assert processes.commands == [] and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--study="], "study"),
        (["--study=absent"], "'absent'"),
        (["--settings=plain,odd"], "'odd'"),
        (["--seeds=0"], "seeds"),
        (["--steps=0"], "steps"),
        (["--steps=2000"], "1350"),  # the learning rates of the quickstart are 0 from there on
        (["--evaluate_every=-1"], "evaluate_every"),
        (["--devices=tpu"], "'tpu'"),
        (["--devices=cpu:9999"], "'cpu:9999'"),
        (["--cell=4"], "0 to 3"),
        (["--cell=0", "--collect"], "cell"),
        (["--devices=cpu", "--dry_run"], "devices"),
        (["--collect", "--dry_run"], "collect"),
        (["--collect"], "run_dir"),  # there are no runs
        (["--seconds_per_step=1"], "seconds_per_step"),
        (["--metrics=label_agreement10k"], "fid or fcd"),
        (["--study=attention", "--settings=attention_64"], "attention_64"),
        (["--base=absent.cfg"], "absent.cfg"),
    ],
)
def test_wrong_options_get_one_line(wrong: list[str], named: str, processes: FakeProcesses, flags, tmp_path, capsys):
    assert ablation.run([*flags, *wrong]) == 2
    error = capsys.readouterr().err
    assert named in error and "Traceback" not in error
    assert processes.commands == [] and not (tmp_path / "runs").exists()
