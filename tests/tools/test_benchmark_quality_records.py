"""Tests of the records of the quality benchmark: cells that are kept, refused and run again."""

from __future__ import annotations

import json
import pathlib
import re
import types
from typing import Any

import pytest

from sagan_tf.errors import UserError
from sagan_tf.training.actions.health import POLICIES, SignMonitor
from sagan_tf.training.actions.non_finite import CheckFinite
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.health.signs import LOGIT_RANGE
from tests.tools.fake_processes import SIGKILLED, FakeProcesses, rows_of
from tools import benchmark
from tools.comparisons.run_files import compute_training_seconds, read_run_records
from tools.repository import ROOT


def test_finished_cells_are_not_run_again(processes: FakeProcesses, flags: list[str], tmp_path, capsys) -> None:
    assert benchmark.run([*flags, "--steps=100"]) == 0
    first = capsys.readouterr().out
    processes.commands.clear()
    assert benchmark.run([*flags, "--steps=100"]) == 0
    assert processes.commands == [] and capsys.readouterr().out == first
    assert benchmark.run([*flags, "--steps=100", "--seeds=3"]) == 0
    assert [command[2] for command in processes.commands] == ["sagan_tf.train", "sagan_tf.evaluate"] * 2
    assert benchmark.run([*flags, "--steps=200"]) == 2
    assert "steps 200" in capsys.readouterr().err


def test_a_cell_is_evaluated_with_its_own_seed_and_records_its_replicas(processes, flags: list[str], tmp_path) -> None:
    processes.statuses["wide/seed_1"] = [2]  # It ends before it has written a run.
    assert benchmark.run([*flags, "--steps=100"]) == 0
    for command in processes.commands:
        given = dict(flag.split("=", 1) for flag in command[3:])
        assert given["--run_dir"].endswith(f"seed_{given['--seed']}")
    assert [command[2] for command in processes.commands].count("sagan_tf.evaluate") == 3
    records = [json.loads(path.read_text()) for path in sorted((tmp_path / "runs").glob("*/seed_?.json"))]
    assert [record["replicas"] for record in records] == [2, 2, 2, None]


def test_cells_of_a_changed_flagfile_are_refused(processes: FakeProcesses, flags: list[str], tmp_path, capsys) -> None:
    base, quickstart = tmp_path / "base.cfg", ROOT / "configs" / "quickstart.cfg"
    flags = [*flags, "--steps=100", f"--base={base}"]
    base.write_text(f"--flagfile={quickstart}\n")
    assert benchmark.run(flags) == 0
    processes.commands.clear()
    base.write_text(f"# The same options.\n--flagfile={quickstart}\n--adam_beta2=0.99\n--num_steps=7\n")
    assert benchmark.run(flags) == 0 and processes.commands == []
    base.write_text(f"--flagfile={quickstart}\n--adam_beta2=0.9\n")
    assert benchmark.run(flags) == 2
    assert re.search("adam_beta2 0.9 .*received 0.99", capsys.readouterr().err) and processes.commands == []


@pytest.mark.parametrize(("removed", "status"), [("lecam_weight", 0), ("base_channels", 2)])
def test_an_option_missing_in_a_record_had_its_default(
    removed: str, status: int, processes: FakeProcesses, flags: list[str], tmp_path
) -> None:
    """The quickstart has the default value of the first option only."""
    assert benchmark.run([*flags, "--steps=100"]) == 0
    path = tmp_path / "runs" / "plain" / "seed_0.json"
    record = json.loads(path.read_text())
    del record["configuration"][removed]
    path.write_text(json.dumps(record))
    assert benchmark.run([*flags, "--steps=100"]) == status


def test_a_failed_cell_is_reported_and_run_again(processes: FakeProcesses, flags: list[str], tmp_path, capsys) -> None:
    processes.statuses["wide/seed_1"] = [2, 0]
    assert benchmark.run([*flags, "--steps=100"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"wide, seed 1: failed: .*no such data", printed) and printed.rstrip().endswith("1 of 2, 1 failed")
    assert rows_of(tmp_path)[3]["status"] == "failed"
    processes.commands.clear()
    (tmp_path / "settings.txt").write_text("plain\nwide --base_channels=32 --lecam_weight=1\n")
    assert benchmark.run([*flags, "--steps=100"]) == 2  # seed 0 of this setting has finished
    (tmp_path / "runs" / "wide" / "seed_0.json").unlink()
    assert benchmark.run([*flags, "--steps=100"]) == 0
    assert len(processes.commands) == 4 and "2 of 2" in capsys.readouterr().out
    assert rows_of(tmp_path)[3]["status"] == "finished" and rows_of(tmp_path)[3]["message"] == ""


def test_a_failed_run_with_a_directory_keeps_its_flags(
    processes: FakeProcesses, flags: list[str], tmp_path, capsys
) -> None:
    processes.statuses["wide/seed_0"] = [2, 0]
    (tmp_path / "runs" / "wide" / "seed_0").mkdir(parents=True)
    assert benchmark.run([*flags, "--steps=100"]) == 0
    (tmp_path / "settings.txt").write_text("wide --base_channels=16\n")
    assert benchmark.run([*flags, "--steps=100"]) == 2
    assert "base_channels" in capsys.readouterr().err


def error_of_a_dead_discriminator() -> UserError:
    watch = SignMonitor(POLICIES["stop_dead"], save=lambda: "nowhere")
    with pytest.raises(UserError) as caught:
        watch.check({LOGIT_RANGE: 0.0}, 90)
    return caught.value


def error_of_a_loss_that_is_not_finite(tmp_path: pathlib.Path) -> UserError:
    checkpoints: Any = types.SimpleNamespace(latest=None)
    check = CheckFinite(checkpoints, tmp_path, lambda: True, lambda: 1.0)
    with pytest.raises(UserError) as caught:
        check(StepReport(90, 10, {"discriminator_loss": float("nan")}, 1.0, False))
    return caught.value


@pytest.mark.parametrize("sign", ["dead", "not finite"])
def test_an_unhealthy_cell_is_not_run_again(
    sign: str, processes: FakeProcesses, flags: list[str], tmp_path, capsys
) -> None:
    error = error_of_a_dead_discriminator() if sign == "dead" else error_of_a_loss_that_is_not_finite(tmp_path)
    processes.statuses["wide/seed_1"], processes.error = [2, 0], str(error)
    assert benchmark.run([*flags, "--steps=100"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"wide, seed 1: stopped: unhealthy: ", printed) and printed.rstrip().endswith(
        "1 of 2, 1 unhealthy"
    )
    processes.commands.clear()
    assert benchmark.run([*flags, "--steps=100"]) == 0
    assert processes.commands == [] and rows_of(tmp_path)[3]["status"] == "unhealthy"


@pytest.mark.parametrize("ended", [SIGKILLED, 130])
def test_a_killed_cell_continues(ended: int, processes: FakeProcesses, flags: list[str], tmp_path) -> None:
    processes.statuses["plain/seed_0"] = [ended, 0]
    assert benchmark.run([*flags, "--steps=100"]) == 0
    assert [row["status"] for row in rows_of(tmp_path)] == ["unfinished", *["finished"] * 3]
    processes.commands.clear()
    assert benchmark.run([*flags, "--steps=100"]) == 0
    assert [row["status"] for row in rows_of(tmp_path)] == ["finished"] * 4 and len(processes.commands) == 2
    assert rows_of(tmp_path)[0]["cpu_seconds"] == "20.0"


def test_a_cell_interrupted_during_evaluation_is_only_evaluated(
    processes: FakeProcesses, flags: list[str], tmp_path: pathlib.Path
) -> None:
    flags = [*flags, "--minutes=1"]
    assert benchmark.run(flags) == 0
    record = tmp_path / "runs" / "plain" / "seed_0.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"status": "unfinished"}))
    processes.commands.clear()
    assert benchmark.run(flags) == 0
    assert [command[2] for command in processes.commands] == ["sagan_tf.evaluate"]


def write_run(
    directory: pathlib.Path, speeds: dict[int, float], resumed: int | None = None
) -> tuple[pathlib.Path, ...]:
    """Write a record for each step, with the speed of the steps before it."""
    lines = [{"step": step, "kind": "train", "steps_per_second": speed} for step, speed in speeds.items()]
    lines.insert(1, {"step": 10, "kind": "evaluation"})
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (directory / "log").write_text("step 10\n" + (f"resumed at step {resumed}\n" if resumed is not None else ""))
    return directory, directory / "log"


@pytest.mark.parametrize(
    ("speeds", "resumed", "expected"),
    [
        ({10: 0.1, 20: 2.0, 30: 5.0}, None, 5 + 5 + 2),  # The first steps count with the speed of the next.
        ({10: 0.1, 20: 2.0, 30: 0.2, 40: 5.0}, 20, 5 + 5 + 2 + 2),
        ({10: 0.1, 20: 2.0, 30: 0.2, 40: 5.0}, 25, 5 + 5 + 2 + 2),  # The run was saved between two records.
        ({10: 0.1}, None, 0),
    ],
)
def test_training_seconds_exclude_tracing(speeds, resumed, expected, tmp_path):
    assert compute_training_seconds(*write_run(tmp_path, speeds, resumed)) == pytest.approx(expected)


def test_missing_files_and_incomplete_lines(tmp_path):
    assert compute_training_seconds(tmp_path / "absent", tmp_path / "absent.log") == 0
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "ki')
    assert read_run_records(tmp_path) == [{"step": 1}]
