"""Folders that appear whole or not at all: with errors at every place, and somebody who looks all the time."""

from __future__ import annotations

import os
import pathlib
import sys
import threading
import time
from typing import Any

import pytest

from sagan_tf.errors import UserError
from sagan_tf.exporting import atomic_directories as module
from sagan_tf.exporting.atomic_directories import whole_folders
from tests.exporting.small_export import files_below


def fill(path: pathlib.Path, text: str) -> None:
    with whole_folders([path]) as (folder,):
        (folder / "a").write_text(text)


@pytest.mark.parametrize("error", [RuntimeError("of something else"), KeyboardInterrupt()])
@pytest.mark.parametrize("older", [True, False])
def test_an_error_leaves_nothing_behind(error: BaseException, older: bool, tmp_path: pathlib.Path) -> None:
    if older:
        fill(tmp_path / "2", "older")
    before = files_below(tmp_path)
    with pytest.raises(type(error)), whole_folders([tmp_path / "2"]) as (folder,):
        (folder / "a").write_text("half")
        raise error
    assert files_below(tmp_path) == before
    assert not older or (tmp_path / "2" / "a").read_text() == "older"


def test_what_cannot_be_written(tmp_path: pathlib.Path) -> None:
    fill(tmp_path / "2", "older")
    with pytest.raises(UserError) as caught, whole_folders([tmp_path / "2"]):
        raise OSError(28, "No space left on device")
    assert str(caught.value) == f"output: expected to write {tmp_path / '2'}, received No space left on device"
    assert files_below(tmp_path) == ["2", "2/a"] and (tmp_path / "2" / "a").read_text() == "older"


@pytest.fixture(params=[True, False])
def exchanges(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the system can swap two names in one step."""
    if not request.param:
        monkeypatch.setattr(module, "_exchange", lambda *folders: False)
    return request.param


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_all_or_none(failing: int, exchanges: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three folders, the first of which is there already, one cannot get its name."""
    paths = [tmp_path / "a" / "2", tmp_path / "a" / "b" / "2", tmp_path / "a" / "c"]
    fill(paths[0], "older")
    take, taken = module._take_place, []

    def refusing(new: pathlib.Path, path: pathlib.Path, overwrite: bool) -> None:
        taken.append(path)
        if len(taken) == failing:
            raise PermissionError(1, "Operation not permitted")
        take(new, path, overwrite)

    monkeypatch.setattr(module, "_take_place", refusing)
    with (
        pytest.raises(
            UserError, match=f"^output: expected to write {tmp_path / 'a'}, received Operation not permitted"
        ),
        whole_folders(paths) as folders,
    ):
        for folder in folders:
            (folder / "a").write_text("newer")
    assert files_below(tmp_path) == ["a", "a/2", "a/2/a"] and (paths[0] / "a").read_text() == "older"
    taken.clear()
    monkeypatch.undo()
    with whole_folders(paths) as folders:
        for folder in folders:
            (folder / "a").write_text("newer")
    assert [(path / "a").read_text() for path in paths] == ["newer"] * 3


def test_an_older_version_outlives_a_new_one_that_cannot_take_its_place(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "2", "older")
    rename = os.rename

    def refused(source: Any, target: Any) -> None:
        if pathlib.Path(source).name == "new":
            raise PermissionError(1, "Operation not permitted")
        rename(source, target)

    monkeypatch.setattr(module, "_exchange", lambda *folders: False)
    monkeypatch.setattr(module.os, "rename", refused)
    with pytest.raises(UserError, match="Operation not permitted"):
        fill(tmp_path / "2", "newer")
    assert files_below(tmp_path) == ["2", "2/a"] and (tmp_path / "2" / "a").read_text() == "older"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a version is missing between two renames")
def test_a_version_that_is_replaced_is_never_missing(tmp_path: pathlib.Path) -> None:
    fill(tmp_path / "2", "0")
    missing: list[bool] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            missing.append(not (tmp_path / "2").exists())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for number in range(200):
            fill(tmp_path / "2", str(number))
    finally:
        done.set()
        thread.join()
    assert len(missing) > 100 and not any(missing)
    assert (tmp_path / "2" / "a").read_text() == "199"


def test_what_has_come_in_the_meantime_stays(tmp_path: pathlib.Path) -> None:
    with (
        pytest.raises(UserError, match="^output: expected no export there yet, received .*/2; --overwrite replaces it"),
        whole_folders([tmp_path / "2"], overwrite=False) as (folder,),
    ):
        (folder / "a").write_text("mine")
        fill(tmp_path / "2", "another's")
    assert files_below(tmp_path) == ["2", "2/a"] and (tmp_path / "2" / "a").read_text() == "another's"


def test_what_killed_programs_have_left_goes_after_a_day(tmp_path: pathlib.Path) -> None:
    for name, age in ((".unfinished_old", 90_000), (".unfinished_at_work", 60), ("mine", 90_000)):
        (tmp_path / name / "new").mkdir(parents=True)
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    fill(tmp_path / "2", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".unfinished_at_work", "2", "mine"]


def test_a_new_version_takes_the_place_of_an_older_one(tmp_path: pathlib.Path) -> None:
    with whole_folders([tmp_path / "2"]) as (folder,):
        (folder / "only in the older").mkdir()
    fill(tmp_path / "2", "newer")
    assert files_below(tmp_path) == ["2", "2/a"] and (tmp_path / "2" / "a").read_text() == "newer"


def test_folders_above_are_made(tmp_path: pathlib.Path) -> None:
    fill(tmp_path / "a" / "b" / "2", "new")
    assert files_below(tmp_path / "a") == ["b", "b/2", "b/2/a"]


def test_a_file_in_the_way(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="^output: expected to write .*/file/2, received "):
        fill(tmp_path / "file" / "2", "new")
    assert (tmp_path / "file").read_text() == "mine" and files_below(tmp_path) == ["file"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o755), (0o027, 0o750)])
def test_others_may_read_what_the_umask_lets_them(mask: int, mode: int, tmp_path: pathlib.Path) -> None:
    """A server seldom runs as whoever exports."""
    before = os.umask(mask)
    try:
        fill(tmp_path / "2", "new")
    finally:
        os.umask(before)
    assert (tmp_path / "2").stat().st_mode & 0o777 == mode
    assert (tmp_path / "2" / "a").stat().st_mode & 0o777 == mode & 0o666
