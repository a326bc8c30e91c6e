"""Atomic directories, with errors at every step and with a thread that watches them."""

import os
import pathlib
import sys
import threading
import time
from typing import Any

import pytest

from sagan_tf.errors import UserError
from sagan_tf.exporting import atomic_directories as module
from sagan_tf.exporting.atomic_directories import replace_directories_atomically
from tests.exporting.small_export import list_files


def fill(*paths: pathlib.Path, text: str) -> None:
    with replace_directories_atomically(paths) as directories:
        for directory in directories:
            (directory / "a").write_text(text)


def assert_files(path: pathlib.Path, text: str) -> None:
    """Assert that a directory contains only version 2 with this text."""
    assert list_files(path) == ["2", "2/a"] and (path / "2" / "a").read_text() == text


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (RuntimeError("of something else"), RuntimeError, "^of something else$"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
        (OSError(28, "No space left on device"), UserError, "^output: .*/2: .*No space left on device"),
    ],
)
def test_an_error_leaves_nothing_behind(error, raised, message, tmp_path):
    fill(tmp_path / "2", text="older")

    def fail() -> None:
        with replace_directories_atomically([tmp_path / "2"]) as (directory,):
            (directory / "a").write_text("half")
            raise error

    with pytest.raises(raised, match=message):
        fail()
    assert_files(tmp_path, "older")


def test_an_empty_directory_may_exist_without_overwrite(tmp_path: pathlib.Path) -> None:
    (tmp_path / "2").mkdir()
    with pytest.raises(RuntimeError), replace_directories_atomically([tmp_path / "2"], overwrite=False):
        raise RuntimeError("of something else")
    assert list_files(tmp_path) == ["2"]
    with replace_directories_atomically([tmp_path / "2"], overwrite=False) as (directory,):
        (directory / "a").write_text("new")
    assert (tmp_path / "2" / "a").read_text() == "new"
    with pytest.raises(UserError), replace_directories_atomically([tmp_path / "2"], overwrite=False):
        pass
    assert list_files(tmp_path) == ["2", "2/a"]


@pytest.fixture(params=[True, False])
def exchanges(request, monkeypatch):
    """Return whether the system can exchange two names in one step."""
    if not request.param:
        monkeypatch.setattr(module, "_exchange_names", lambda *directories: False)
    return request.param


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_either_all_directories_are_replaced_or_none(failing, exchanges, tmp_path, monkeypatch):
    """One of three directories, of which the first exists, cannot be renamed."""
    paths = [tmp_path / "a" / "2", tmp_path / "a" / "b" / "2", tmp_path / "a" / "c"]
    fill(paths[0], text="older")
    (paths[0] / "only in the old version").mkdir()
    before = list_files(tmp_path)
    move, moved = module._move_into_place, []

    def failing_move(new: pathlib.Path, path: pathlib.Path, overwrite: bool) -> None:
        moved.append(path)
        if len(moved) == failing:
            raise PermissionError(1, "Operation not permitted")
        move(new, path, overwrite)

    monkeypatch.setattr(module, "_move_into_place", failing_move)
    with pytest.raises(UserError, match=f"^output: .*{tmp_path / 'a'}.*Operation not permitted"):
        fill(*paths, text="newer")
    assert list_files(tmp_path) == before and (paths[0] / "a").read_text() == "older"
    moved.clear()
    monkeypatch.undo()
    fill(*paths, text="newer")
    assert [(path / "a").read_text() for path in paths] == ["newer"] * 3 and list_files(paths[0]) == ["a"]


def test_the_old_version_stays_if_the_new_one_cannot_be_renamed(tmp_path, monkeypatch):
    fill(tmp_path / "2", text="older")
    rename = os.rename

    def failing_rename(source: Any, target: Any) -> None:
        if pathlib.Path(source).name == "new":
            raise PermissionError(1, "Operation not permitted")
        rename(source, target)

    monkeypatch.setattr(module, "_exchange_names", lambda *directories: False)
    monkeypatch.setattr(module.os, "rename", failing_rename)
    with pytest.raises(UserError, match="Operation not permitted"):
        fill(tmp_path / "2", text="newer")
    assert_files(tmp_path, "older")


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="other systems need two renames, between which the version is missing"
)
def test_a_replaced_version_is_never_missing(tmp_path):
    fill(tmp_path / "2", text="0")
    missing: list[bool] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            missing.append(not (tmp_path / "2" / "a").exists())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for number in range(200):
            fill(tmp_path / "2", text=str(number))
    finally:
        done.set()
        thread.join()
    assert len(missing) > 100 and not any(missing)
    assert (tmp_path / "2" / "a").read_text() == "199"


def test_a_directory_created_in_the_meantime_is_kept(tmp_path):
    def race() -> None:
        with replace_directories_atomically([tmp_path / "2"], False, "DIR", "take another") as (directory,):
            (directory / "a").write_text("new")
            fill(tmp_path / "2", text="earlier")

    with pytest.raises(UserError, match="^DIR: .*/2 already exists.*take another"):
        race()
    assert_files(tmp_path, "earlier")


def test_directories_of_killed_programs_are_removed_after_a_day(tmp_path):
    for name, age in ((".unfinished_old", 90_000), (".unfinished_active", 60), ("mine", 90_000)):
        (tmp_path / name / "new").mkdir(parents=True)
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    fill(tmp_path / "2", text="new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".unfinished_active", "2", "mine"]


def test_permissions_follow_the_umask(tmp_path):
    """A server seldom runs as the user who exports."""
    before = os.umask(0o027)
    try:
        fill(tmp_path / "2", text="new")
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "2", tmp_path / "2" / "a")] == [0o750, 0o640]
