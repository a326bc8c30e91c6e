"""Studies that use runs of another study: what is trained, and what the page, the archive and --dry_run say."""

from __future__ import annotations

import pathlib
import zipfile

import pytest

from tests.tools.fake_processes import FakeProcesses
from tools import ablation
from tools.ablations import report
from tools.ablations.study_images import StudyImages

NOTE = (
    "- runs of other studies with the same options, so that the results are not independent of these studies: "
    "wide, seed 0: plain, seed 0, of base"
)


@pytest.fixture
def flags(tmp_path: pathlib.Path, processes: FakeProcesses, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the flags of a study of which one cell is equal to one of a first study, which has been run."""
    monkeypatch.setattr(report, "write_images", lambda *_: StudyImages({}, []))
    (tmp_path / "first.txt").write_text("# First.\nplain --base_channels=32\n")
    (tmp_path / "second.txt").write_text("# Second.\nplain\nwide --base_channels=32\n")
    common = ["--base=configs/quickstart.cfg", "--seeds=1", "--steps=300", "--evaluate_every=100"]
    assert ablation.run([f"--study={tmp_path / 'first.txt'}", f"--run_dir={tmp_path / 'alice' / 'base'}", *common]) == 0
    (tmp_path / "alice" / "base" / "plain" / "seed_0" / "flags.cfg").touch()
    processes.commands.clear()
    return [f"--study={tmp_path / 'second.txt'}", f"--run_dir={tmp_path / 'second' / 'base'}", *common]


def test_only_other_cells_are_trained_and_the_page_names_the_copies(
    processes: FakeProcesses, flags: list[str], tmp_path: pathlib.Path
) -> None:
    assert ablation.run([*flags, f"--reuse={tmp_path / 'alice' / 'base'}"]) == 0
    assert [command[2] for command in processes.commands] == ["sagan_tf.train", "sagan_tf.evaluate"]
    assert any(argument.endswith("plain/seed_0") for argument in processes.commands[0])
    page = (tmp_path / "second" / "base" / "results.md").read_text()
    assert NOTE in page and "| wide | 1 of 1 |" in page
    with zipfile.ZipFile(tmp_path / "second" / "base" / "records.zip") as archive:
        archive.extractall(tmp_path / "other")
    published = page + "".join(path.read_text() for path in (tmp_path / "other").rglob("*") if path.is_file())
    assert str(tmp_path) not in published and "alice" not in published
    assert ablation.run([*flags, f"--run_dir={tmp_path / 'other'}", "--collect"]) == 0
    assert NOTE in (tmp_path / "other" / "results.md").read_text()


def test_a_dry_run_shows_what_would_be_reused_and_the_cost_of_the_rest(
    flags: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reuse = [f"--reuse={tmp_path / 'alice' / 'base'}", "--dry_run", "--seconds_per_step=1"]
    assert ablation.run([*flags, *reuse]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "# cell 1: wide, seed 0: reused from plain, seed 0, of base" in lines
    assert not any("wide/seed_0" in line for line in lines) and any("1 cell, 300 steps" in line for line in lines)
    assert not (tmp_path / "second").exists()
    assert ablation.run([*flags, reuse[0], "--cell=1"]) == 0
    capsys.readouterr()
    assert ablation.run([*flags, *reuse]) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_a_study_of_which_no_run_is_used_is_named(
    flags: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablation.run([*flags, f"--reuse={tmp_path / 'alice' / 'base'}", "--steps=400", "--dry_run"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("# reuse: no cell can use a run of ") and "steps is 300 there and 400 here" in first


def test_several_devices_use_a_copy(processes: FakeProcesses, flags: list[str], tmp_path: pathlib.Path) -> None:
    copied = [*flags, f"--reuse={tmp_path / 'alice' / 'base'}", "--settings=wide", "--devices=cpu:0,cpu:1"]
    assert ablation.run(copied) == 0 and processes.commands == []
    assert (tmp_path / "second" / "base" / "wide" / "seed_0" / "metrics.jsonl").is_file()


def test_a_page_without_copies_does_not_mention_them(flags: list[str], tmp_path: pathlib.Path) -> None:
    assert ablation.run(flags) == 0
    assert "runs of other studies" not in (tmp_path / "second" / "base" / "results.md").read_text()


@pytest.mark.parametrize("wrong", [["--reuse={}/nowhere"], ["--reuse={}/alice/base", "--collect"]])
def test_a_wrong_reuse_is_one_line(
    wrong: list[str], flags: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ablation.run([*flags, *(flag.format(tmp_path) for flag in wrong)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("tools/ablation.py: error: reuse: ") and not (tmp_path / "second").exists()
