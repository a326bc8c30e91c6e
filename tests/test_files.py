"""Atomic writes, and checks that a path can be written."""

import os
import pathlib
import tempfile

import pytest

from sagan_tf.errors import UserError
from sagan_tf.files import (
    append_line,
    check_can_append,
    check_can_write_directory,
    check_can_write_file,
    replace_atomically,
    write_atomically,
    write_result,
)
from tests.faults.disks import small_disk

CHECKS = {"file": check_can_write_file, "directory": check_can_write_directory, "append": check_can_append}


def list_names(path: pathlib.Path) -> list[str]:
    return sorted(str(entry.relative_to(path)) for entry in path.rglob("*"))


def write_text(path: pathlib.Path) -> None:
    write_atomically(path, "text" * 2048)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("place", ["new/a", "file/a", "link/a", "directory/" + "n" * 300, "/proc/nowhere/a", "~/a"])
def test_checks_change_nothing(check, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("content")
    (tmp_path / "link").symlink_to("nowhere")
    before = list_names(tmp_path)
    if place == "new/a":
        CHECKS[check](pathlib.Path(place), "option")
    else:
        with pytest.raises(UserError, match=f"^option: .*{place}"):
            CHECKS[check](pathlib.Path(place), "option")
    assert list_names(tmp_path) == before and (tmp_path / "file").read_text() == "content"


@pytest.mark.parametrize("name", ["directory", "pipe", "n" * 252, "null\0byte"])
def test_rejects_paths_that_no_file_can_replace(name, tmp_path):
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="option: "):
        check_can_write_file(tmp_path / name, "option")


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("state", ["full", "read-only"])
def test_rejects_full_and_read_only_disks(check, state, tmp_path):
    with small_disk(tmp_path, 64) as disk:
        CHECKS[check](tmp_path / "new" / "a", "option")
        disk.fill() if state == "full" else disk.make_readable_only()
        with pytest.raises(UserError, match=f"option: .*{tmp_path}.*{'space' if state == 'full' else 'Read-only'}"):
            CHECKS[check](tmp_path / "new" / "a", "option")
        assert list_names(tmp_path) == (["other files"] if state == "full" else [])


@pytest.mark.parametrize("write", [write_atomically, append_line])
def test_an_error_of_a_full_disk_names_the_file(write, tmp_path):
    path = tmp_path / "lines"
    with small_disk(tmp_path, 64) as disk:
        write(path, "one")
        disk.fill(leave=4096)
        with pytest.raises(OSError, match="space") as caught:
            write(path, "two" * 4096)
        assert caught.value.filename == str(path) and path.read_text().strip() == "one"


def test_too_little_space(tmp_path):
    check_can_write_directory(tmp_path, "option", num_bytes=100)
    with pytest.raises(UserError, match="option: .*space"):
        check_can_write_directory(tmp_path, "option", num_bytes=2**60)


@pytest.mark.parametrize("is_rescued", [True, False])
def test_result_is_saved_elsewhere_on_a_full_disk(is_rescued, tmp_path, monkeypatch):
    """The result goes to the system's temporary directory if its own disk is full, and the message names the file."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with small_disk(tmp_path / "disk", 64) as disk, small_disk(temporary, 64) as system:
        write_result(disk.path / "new" / "a.json", "option", write_text)
        assert list_names(disk.path) == ["new", "new/a.json"]
        disk.fill()
        if not is_rescued:
            system.fill()
        before = list_names(temporary)
        with pytest.raises(UserError, match=f"option: .*{disk.path}/b.json.*space") as raised:
            write_result(disk.path / "b.json", "option", write_text)
        assert list_names(disk.path) == ["new", "new/a.json", "other files"]
        rescued = [path for path in temporary.rglob("*.json") if str(path) in str(raised.value)]
        assert [path.read_text() for path in rescued] == ["text" * 2048] * is_rescued
        assert is_rescued or list_names(temporary) == before


@pytest.mark.parametrize("content", ["two ü", b"two \xff"])
def test_atomic_write_leaves_no_other_files(tmp_path, content):
    write_atomically(tmp_path / "file", "one")
    write_atomically(tmp_path / "file", content)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == (content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize("shared", [False, True])
def test_failed_replacement_keeps_the_old_file(tmp_path, shared):
    path = tmp_path / "file"
    path.write_text("old")

    def replace() -> None:
        with replace_atomically(path, shared=shared) as temporary:
            temporary.write_text("half")
            assert path.read_text() == "old"
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        replace()
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"] and path.read_text() == "old"


def test_appends_after_an_unfinished_line(tmp_path):
    path = tmp_path / "lines"
    append_line(path, "one")
    with path.open("a") as file:
        file.write("ha")
    append_line(path, "two")
    assert path.read_text() == "one\nha\ntwo\n"
