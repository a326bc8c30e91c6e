"""Images of a study, from the stored run of an earlier version."""

from __future__ import annotations

import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.sampling.attention import NonFiniteWeightsError
from tools.ablations import images as module
from tools.ablations.images import SAMPLES, write_images
from tools.ablations.outcomes import Outcome
from tools.comparisons.cells import Cell, Limit
from tools.comparisons.records import FINISHED, NOT_STARTED, UNHEALTHY
from tools.comparisons.settings import Setting
from tools.repository import ROOT


def make_outcome(directory: pathlib.Path, setting: str, seed: int, status: str, **record: Any) -> Outcome:
    """Return the outcome of a cell with an evaluation at the step of the stored checkpoint, which is its last step."""
    cell = Cell(Setting(setting, ()), seed, Limit(1, 0.0), (), directory, Config())
    return Outcome(cell, status, {"step": 150} | record, {150: {"fcd10k": 1.24}}, {})


def test_runs_with_a_checkpoint_are_shown_and_others_are_left_out_with_a_reason(tmp_path, capsys, monkeypatch):
    outcomes = [
        make_outcome(tmp_path, "plain", 0, UNHEALTHY),
        make_outcome(tmp_path, "plain", 1, FINISHED),
        make_outcome(tmp_path, "died", 0, UNHEALTHY),
        make_outcome(tmp_path, "later", 0, NOT_STARTED),
        make_outcome(tmp_path, "again", 0, UNHEALTHY, message="on_unhealthy: dead at step 1250: x"),
        make_outcome(tmp_path, "again", 1, FINISHED, step=300),
    ]
    for index in (1, 4, 5):
        with zipfile.ZipFile(ROOT / "tests" / "stored" / "run.zip") as stored:
            stored.extractall(outcomes[index].cell.run_dir)
    checkpoints = outcomes[4].cell.run_dir / "checkpoints"
    checkpoints.rename(checkpoints.with_name("best"))
    checkpoints.mkdir()
    checkpoints.with_name("best").rename(checkpoints / "best")
    rows: list[str] = []
    columns: list[str] = []
    draw = module.draw_image_sheet

    def draw_and_keep_names(*args: Any, row_names: Sequence[str], column_names: Sequence[str]) -> Any:
        rows.extend(row_names)
        columns.extend(column_names)
        return draw(*args, row_names=row_names, column_names=column_names)

    monkeypatch.setattr(module, "draw_image_sheet", draw_and_keep_names)
    images = write_images(outcomes, "fcd10k", tmp_path)
    # Several images of each class show whether they are similar.
    assert len(columns) == 20 and all(columns.count(name) >= 4 for name in columns) and len(set(columns)) > 1
    assert rows == [
        "plain, seed 1, fcd 1.24",
        "again, seed 0, step 150 (died at step 1,250), fcd 1.24",
        "again, seed 1, step 150, fcd 1.24",
    ]
    errors = capsys.readouterr().err.splitlines()
    assert [error.partition(": ")[0] for error in errors] == ["plain, seed 0", "died, seed 0"]
    assert all(str(tmp_path) in error for error in errors)
    assert [note.partition(": ")[0] for note in images.notes] == ["plain, seed 0", "died, seed 0", "later"]
    assert images.notes[1][14:] != images.notes[2][7:] and str(tmp_path) not in str(images.notes)
    assert images.names == {
        SAMPLES: "", "attention_plain.png": "plain, seed 1", "attention_again.png": "again, seed 0",
    }  # fmt: skip
    for name in images.names:
        with Image.open(tmp_path / name) as image:
            assert min(image.size) > 32


def test_a_run_with_damaged_flags_is_left_out_with_a_reason(tmp_path: pathlib.Path):
    outcomes = [make_outcome(tmp_path, "plain", seed, FINISHED) for seed in (0, 1)]
    for outcome in outcomes:
        with zipfile.ZipFile(ROOT / "tests" / "stored" / "run.zip") as stored:
            stored.extractall(outcome.cell.run_dir)
    (outcomes[0].cell.run_dir / "flags.cfg").write_text("--resolution=")
    images = write_images(outcomes, "fcd10k", tmp_path)
    assert [note.partition(": ")[0] for note in images.notes] == ["plain, seed 0"] and SAMPLES in images.names


def test_only_weights_that_are_not_finite_are_called_so(tmp_path: pathlib.Path, monkeypatch):
    def fail(*_: object) -> None:
        raise error

    outcomes = [make_outcome(tmp_path, "plain", 0, FINISHED)]
    with zipfile.ZipFile(ROOT / "tests" / "stored" / "run.zip") as stored:
        stored.extractall(outcomes[0].cell.run_dir)
    monkeypatch.setattr(module, "make_attention_sheet", fail)
    error: UserError = NonFiniteWeightsError("the weights")
    images = write_images(outcomes, "fcd10k", tmp_path)
    assert images.names == {SAMPLES: ""} and "not finite" in images.notes[0]
    error = UserError("the disk")
    with pytest.raises(UserError, match="the disk"):
        write_images(outcomes, "fcd10k", tmp_path)
