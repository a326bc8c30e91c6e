"""Hidden directory of unfinished work: what is kept, written again and rejected."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from sagan_tf.errors import UserError
from tools.preparation import unfinished
from tools.preparation.unfinished import FinishedShard, lock_unfinished_work

SETTINGS = {"--quality": 95, "images": "abc"}


def make_finished_shard(index: int, content: bytes) -> FinishedShard:
    return FinishedShard(index, f"{index}.tfrecord", len(content), 3, 2, (1, 1), {"a.jpg": "cut short"})


def leave_unfinished_work(output: Path, contents: tuple[bytes, ...] = (b"one", b"three")) -> None:
    """Finish a shard of each content, and leave the work unfinished."""
    with lock_unfinished_work(output) as work:
        work.begin(SETTINGS)
        for index, content in enumerate(contents):
            (work.files / f"{index}.tfrecord").write_bytes(content)
            work.finish(make_finished_shard(index, content))


def catch_message(output: Path, settings: dict[str, object] = SETTINGS) -> str:
    with pytest.raises(UserError) as caught, lock_unfinished_work(output) as work:
        work.begin(settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_appears_before_it_is_published(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "train"
    leave_unfinished_work(output)
    assert not output.exists()
    with lock_unfinished_work(output) as work:
        assert work.begin(SETTINGS) == {0: make_finished_shard(0, b"one"), 1: make_finished_shard(1, b"three")}
        work.publish()
    assert [path.name for path in output.parent.iterdir()] == ["train"]
    assert sorted(path.name for path in output.iterdir()) == ["0.tfrecord", "1.tfrecord"]


def test_incomplete_files_are_removed(tmp_path: Path) -> None:
    output = tmp_path / "train"
    leave_unfinished_work(output)
    files = tmp_path / ".train.unfinished" / "files"
    (files / "2.tfrecord.77.partial").write_bytes(b"ha")
    (files / "3.tfrecord").write_bytes(b"named, but not described")
    with lock_unfinished_work(output) as work:
        assert set(work.begin(SETTINGS)) == {0, 1}
    assert sorted(path.name for path in files.iterdir()) == ["0.tfrecord", "1.tfrecord"]


@pytest.mark.parametrize("content", [None, b"on"])
def test_a_described_shard_without_its_file_is_written_again(tmp_path: Path, content: bytes | None) -> None:
    output = tmp_path / "train"
    leave_unfinished_work(output)
    path = tmp_path / ".train.unfinished" / "files" / "0.tfrecord"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with lock_unfinished_work(output) as work:
        assert set(work.begin(SETTINGS)) == {1}
        assert not path.exists()


def test_other_settings_are_rejected_and_nothing_is_lost(tmp_path: Path) -> None:
    output = tmp_path / "train"
    leave_unfinished_work(output)
    message = catch_message(output, {"--quality": 90, "images": "abc"})
    assert message.startswith("--output: ") and str(tmp_path / ".train.unfinished") in message
    assert "--quality=90 instead of 95" in message and "continue it with --quality=95" in message
    message = catch_message(output, SETTINGS | {"images": "xyz"})  # no flag restores them
    assert "images='xyz' instead of 'abc'" in message and "continue it with" not in message
    with lock_unfinished_work(output) as work:
        assert set(work.begin(SETTINGS)) == {0, 1}


def test_two_simultaneous_processes_are_rejected(tmp_path: Path) -> None:
    output = tmp_path / "train"
    with lock_unfinished_work(output) as work:
        work.begin(SETTINGS)
        assert catch_message(output).startswith(f"--output: another process is preparing {output}")
        with lock_unfinished_work(tmp_path / "validation"):
            pass
    leave_unfinished_work(output)  # the lock ends with the context


def test_a_directory_that_another_process_has_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was opened, then published and removed before this process locked it."""
    output = tmp_path / "train"
    leave_unfinished_work(output)
    lock = unfinished._lock_directory

    def publish_first(descriptor: int, path: Path) -> None:
        monkeypatch.setattr(unfinished, "_lock_directory", lock)
        with lock_unfinished_work(output) as work:
            work.begin(SETTINGS)
            work.publish()
        lock(descriptor, path)

    monkeypatch.setattr(unfinished, "_lock_directory", publish_first)
    assert catch_message(output).startswith(f"--output: {output} already exists")
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_a_directory_that_was_removed_and_created_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks belong to the directory, not to its name: two processes may hold one."""
    output = tmp_path / "train"
    leave_unfinished_work(output)
    lock = unfinished._lock_directory
    with contextlib.ExitStack() as another:

        def begin_anew_first(descriptor: int, path: Path) -> None:
            monkeypatch.setattr(unfinished, "_lock_directory", lock)
            shutil.rmtree(tmp_path / ".train.unfinished")
            another.enter_context(lock_unfinished_work(output))
            lock(descriptor, path)

        monkeypatch.setattr(unfinished, "_lock_directory", begin_anew_first)
        assert catch_message(output).startswith(f"--output: another process is preparing {output}")


def test_an_interruption_while_publishing(tmp_path: Path) -> None:
    output = tmp_path / "train"
    leave_unfinished_work(output)
    (tmp_path / ".train.unfinished" / "files").rename(output)
    assert catch_message(output).startswith(f"--output: {output} already exists")
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_an_existing_output_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    assert f"--output: {tmp_path / 'train'} already exists" in catch_message(tmp_path / "train")
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_discarded_work_leaves_nothing(tmp_path: Path) -> None:
    with lock_unfinished_work(tmp_path / "train") as work:
        work.begin(SETTINGS)
        work.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(unfinished.fcntl, "flock", refuse)
    leave_unfinished_work(tmp_path / "train")
    assert str(tmp_path) in caplog.text and "Function not implemented" in caplog.text


def test_descriptions_are_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "description.json"
    unfinished.write_text_atomically(path, "old")

    def fail(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(unfinished.os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        unfinished.write_text_atomically(path, "new")
    assert path.read_text() == "old"
