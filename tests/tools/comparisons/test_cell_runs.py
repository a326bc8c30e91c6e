"""Records of cells that are started several times."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from sagan_tf.errors import UserError
from tests.tools.comparisons.toy_cells import make_cells
from tools.comparisons import cell_runs
from tools.comparisons.cell_runs import run_cell


@pytest.mark.parametrize(
    ("has_checkpoint", "before", "now", "expected"),
    [
        (True, {"machine": "a", "git_revision": "1"}, {"machine": "a", "git_revision": "2"}, ("a", "1, then 2")),
        (True, {"machine": "a, then b"}, {"machine": "b", "git_revision": "2"}, ("a, then b", "not recorded, then 2")),
        (True, {"machine": "ab", "git_revision": "1"}, {"machine": "b"}, ("ab, then b", "1, then not recorded")),
        (False, {"machine": "a", "git_revision": "1"}, {"machine": "b", "git_revision": "2"}, ("b", "2")),
    ],
)
def test_a_run_that_continues_has_every_machine_and_commit(
    has_checkpoint: bool,
    before: dict[str, str],
    now: dict[str, str],
    expected: tuple[str, str],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
):
    (cell,) = make_cells(tmp_path, "plain")
    (cell.run_dir / "checkpoints").mkdir(parents=True)
    if has_checkpoint:
        (cell.run_dir / "checkpoints" / "step-1.index").touch()
    cell.write_record(cell.describe_identity() | {"status": "unfinished", "cpu_seconds": 1.0} | before)
    monkeypatch.setattr(cell_runs, "describe_origin", lambda: dict(now))
    record = run_cell(cell)
    assert (record["machine"], record["git_revision"]) == expected and record["status"] == "finished"


@pytest.mark.parametrize("changes", [{"status": 5}, {"configuration": []}])
def test_a_damaged_record_is_an_error(changes: dict[str, Any], tmp_path: pathlib.Path):
    (cell,) = make_cells(tmp_path, "plain")
    cell.run_dir.parent.mkdir(parents=True)
    cell.path_with_suffix(".json").write_text(json.dumps(cell.describe_identity() | {"status": "failed"} | changes))
    with pytest.raises(UserError, match=r"seed_0.json is not a valid record"):
        cell.read_record()
