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


def test_incomplete_files_are_removed(tmp_path: Path) -> None:
    output = tmp_path / "train"
    leave_unfinished_work(output)
    files = tmp_path / ".train.unfinished" / "files"
    (files / "2.tfrecord.77.part").write_bytes(b"ha")
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


def test_two_simultaneous_processes_are_rejected(tmp_path: Path) -> None:
    output = tmp_path / "train"
    with lock_unfinished_work(output) as work:
        work.begin(SETTINGS)
        assert catch_message(output).startswith(f"output: another process is preparing {output}")
        with lock_unfinished_work(tmp_path / "validation"):
            pass
    leave_unfinished_work(output)  # the lock ends with the context


@pytest.mark.parametrize("is_published", [False, True])
def test_another_process_works_between_opening_and_locking(
    is_published: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It publishes the work, or begins anew: locks belong to the directory, not to its name."""
    output, lock = tmp_path / "train", unfinished._lock_directory
    leave_unfinished_work(output)
    with contextlib.ExitStack() as another:

        def work_first(descriptor: int, path: Path) -> None:
            monkeypatch.setattr(unfinished, "_lock_directory", lock)
            if is_published:
                with lock_unfinished_work(output) as work:
                    work.begin(SETTINGS)
                    work.publish()
            else:
                shutil.rmtree(tmp_path / ".train.unfinished")
                another.enter_context(lock_unfinished_work(output))
            lock(descriptor, path)

        monkeypatch.setattr(unfinished, "_lock_directory", work_first)
        assert ("already exists" if is_published else "another process") in catch_message(output)


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_an_existing_output_is_not_changed(is_interrupted: bool, tmp_path: Path) -> None:
    output = tmp_path / "train"
    if is_interrupted:  # between the two steps of publishing
        leave_unfinished_work(output)
        (tmp_path / ".train.unfinished" / "files").rename(output)
    else:
        output.mkdir()
    before = sorted(output.iterdir())
    assert str(output) in catch_message(output)
    assert list(tmp_path.iterdir()) == [output] and sorted(output.iterdir()) == before


def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(unfinished.fcntl, "flock", refuse)
    leave_unfinished_work(tmp_path / "train")
    assert str(tmp_path) in caplog.text and "Function not implemented" in caplog.text


def test_a_shard_without_its_description_is_not_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError("no space left")

    with lock_unfinished_work(tmp_path / "train") as work:
        work.begin(SETTINGS)
        (work.files / "0.tfrecord").write_bytes(b"one")
        monkeypatch.setattr(unfinished.os, "fsync", fail)
        with pytest.raises(OSError, match="no space"):
            work.finish(make_finished_shard(0, b"one"))
        monkeypatch.undo()
        assert work.begin(SETTINGS) == {}
        work.discard()
    assert list(tmp_path.iterdir()) == []
