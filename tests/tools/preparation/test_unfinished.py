"""The hidden folder: what is kept, what is written again, what is refused."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from sagan_tf.errors import UserError
from tools.preparation import unfinished
from tools.preparation.unfinished import FinishedShard, unfinished_work

SETTINGS = {"--quality": 95, "images": "abc"}


def finished_shard(index: int, content: bytes) -> FinishedShard:
    return FinishedShard(index, f"{index}.tfrecord", len(content), 3, 2, (1, 1), {"a.jpg": "cut short"})


def leave_work(output: Path, contents: tuple[bytes, ...] = (b"one", b"three")) -> None:
    """Finishes a shard of each content, and leaves."""
    with unfinished_work(output) as work:
        work.begin(SETTINGS)
        for index, content in enumerate(contents):
            (work.files / f"{index}.tfrecord").write_bytes(content)
            work.finish(finished_shard(index, content))


def complaint(output: Path, settings: dict[str, object] = SETTINGS) -> str:
    with pytest.raises(UserError) as caught, unfinished_work(output) as work:
        work.begin(settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_appears_before_it_is_published(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "train"
    leave_work(output)
    assert not output.exists()
    with unfinished_work(output) as work:
        assert work.begin(SETTINGS) == {0: finished_shard(0, b"one"), 1: finished_shard(1, b"three")}
        work.publish()
    assert [path.name for path in output.parent.iterdir()] == ["train"]
    assert sorted(path.name for path in output.iterdir()) == ["0.tfrecord", "1.tfrecord"]


def test_what_is_half_written_is_removed(tmp_path: Path) -> None:
    output = tmp_path / "train"
    leave_work(output)
    files = tmp_path / ".train.unfinished" / "files"
    (files / "2.tfrecord.77.partial").write_bytes(b"ha")
    (files / "3.tfrecord").write_bytes(b"named, but not noted")
    with unfinished_work(output) as work:
        assert set(work.begin(SETTINGS)) == {0, 1}
    assert sorted(path.name for path in files.iterdir()) == ["0.tfrecord", "1.tfrecord"]


@pytest.mark.parametrize("content", [None, b"on"])
def test_a_noted_shard_that_the_disk_lost_is_written_again(tmp_path: Path, content: bytes | None) -> None:
    output = tmp_path / "train"
    leave_work(output)
    path = tmp_path / ".train.unfinished" / "files" / "0.tfrecord"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with unfinished_work(output) as work:
        assert set(work.begin(SETTINGS)) == {1}
        assert not path.exists()


def test_other_settings_are_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    output = tmp_path / "train"
    leave_work(output)
    message = complaint(output, {"--quality": 90, "images": "abc"})
    assert f"unfinished work in {tmp_path / '.train.unfinished'} began with" in message
    assert "received --quality=90 instead of 95; continue it with --quality=95, or remove " in message
    message = complaint(output, SETTINGS | {"images": "xyz"})  # which no flag brings back
    assert "images='xyz' instead of 'abc'" in message and "continue it with" not in message
    with unfinished_work(output) as work:
        assert set(work.begin(SETTINGS)) == {0, 1}


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    output = tmp_path / "train"
    with unfinished_work(output) as work:
        work.begin(SETTINGS)
        assert complaint(output) == (
            f"--output: expected that no other process prepares {output}, received one that does; wait for it, or stop "
            "it and run this command again"
        )
        with unfinished_work(tmp_path / "validation"):
            pass
    leave_work(output)  # the lock ends with the context


def test_a_folder_that_another_process_finished_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was opened, then published and removed before this process had the lock."""
    output = tmp_path / "train"
    leave_work(output)
    lock = unfinished._lock

    def publish_first(descriptor: int, path: Path) -> None:
        monkeypatch.setattr(unfinished, "_lock", lock)
        with unfinished_work(output) as work:
            work.begin(SETTINGS)
            work.publish()
        lock(descriptor, path)

    monkeypatch.setattr(unfinished, "_lock", publish_first)
    assert complaint(output).startswith("--output: expected a directory without train in it")
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_a_folder_that_was_removed_and_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks are on the folder, not on its name: two processes may hold one each."""
    output = tmp_path / "train"
    leave_work(output)
    lock = unfinished._lock
    with contextlib.ExitStack() as another:

        def begin_anew_first(descriptor: int, path: Path) -> None:
            monkeypatch.setattr(unfinished, "_lock", lock)
            shutil.rmtree(tmp_path / ".train.unfinished")
            another.enter_context(unfinished_work(output))
            lock(descriptor, path)

        monkeypatch.setattr(unfinished, "_lock", begin_anew_first)
        assert complaint(output).startswith("--output: expected that no other process prepares")


def test_cut_off_while_publishing(tmp_path: Path) -> None:
    output = tmp_path / "train"
    leave_work(output)
    (tmp_path / ".train.unfinished" / "files").rename(output)
    assert complaint(output).startswith("--output: expected a directory without train in it")
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_an_output_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    assert f"received {tmp_path / 'train'}, which exists; remove " in complaint(tmp_path / "train")
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_discarded_work_leaves_nothing(tmp_path: Path) -> None:
    with unfinished_work(tmp_path / "train") as work:
        work.begin(SETTINGS)
        work.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(unfinished.fcntl, "flock", refuse)
    leave_work(tmp_path / "train")
    assert "no locks here (Function not implemented)" in caplog.text


def test_notes_are_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "note.json"
    unfinished.write_text(path, "old")

    def fail(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(unfinished.os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        unfinished.write_text(path, "new")
    assert path.read_text() == "old"
