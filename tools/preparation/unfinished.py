"""Work that can be left at any moment: a hidden folder that becomes the finished one when everything is written.

DIR/.SPLIT.unfinished/settings.json     what the work began with
DIR/.SPLIT.unfinished/finished/N.json   what is in shard N; is there when the shard is whole
DIR/.SPLIT.unfinished/files/            becomes DIR/SPLIT
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import logging
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sagan_tf.errors import UserError
from sagan_tf.text import read_text

_logger = logging.getLogger("sagan_tf")


@dataclasses.dataclass(frozen=True)
class FinishedShard:
    """What is in a shard that is whole.

    Attributes:
        index: its number.
        file: name of its record file.
        num_bytes: length of that file.
        num_records: images that it was made from, unreadable ones included.
        num_images: images in it.
        class_counts: its images of each class.
        skipped: why images were left out, by name.
    """

    index: int
    file: str
    num_bytes: int
    num_records: int
    num_images: int
    class_counts: tuple[int, ...]
    skipped: dict[str, str]


class UnfinishedWork:
    """The hidden folder, locked by this process; see `unfinished_work`."""

    def __init__(self, folder: Path, output: Path) -> None:
        """Args:
        folder: the hidden folder, which exists.
        output: what becomes of it.
        """
        self.folder = folder
        self.files = folder / "files"
        self._output = output
        self._finished = folder / "finished"

    def begin(self, settings: dict[str, Any]) -> dict[int, FinishedShard]:
        """Take up the work, or begins it: returns the finished shards by number, and remove what is half-written.

        Raises:
            UserError: it began with other settings.
        """
        path = self.folder / "settings.json"
        if path.exists():
            self._check(_read_settings(path), settings)
        else:
            write_text(path, json.dumps(settings, indent=1) + "\n")
        for folder in (self.files, self._finished):
            folder.mkdir(exist_ok=True)
            _check_is_no_link(folder)  # what lies elsewhere would be taken for half-written
        noted = map(_read_shard, self._finished.glob("*.json"))
        finished = {shard.index: shard for shard in noted if shard is not None}
        whole = {index: shard for index, shard in finished.items() if self._is_whole(shard)}
        kept = {shard.file for shard in whole.values()}
        for path in self.files.iterdir():
            if path.name not in kept:
                path.unlink()
        return whole

    def finish(self, shard: FinishedShard) -> None:
        """Notes that a shard is whole: its file must be on disk."""
        content = json.dumps(dataclasses.asdict(shard)) + "\n"
        write_text(self._finished / f"{shard.index}.json", content)

    def publish(self) -> None:
        """Make the output appear, all at once."""
        for path in self.files.iterdir():
            sync(path)
        self.files.rename(self._output)
        self.discard()

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_whole(self, shard: FinishedShard) -> bool:
        # After a power failure the note may be on disk and the file not.
        path = self.files / shard.file
        return path.parent == self.files and path.exists() and path.stat().st_size == shard.num_bytes

    def _check(self, began_with: dict[str, Any], settings: dict[str, Any]) -> None:
        changed = [key for key in began_with | settings if began_with.get(key) != settings.get(key)]
        if not changed:
            return
        received = ", ".join(f"{key}={settings.get(key)!r} instead of {began_with.get(key)!r}" for key in changed)
        # Other images may come from another flag; without one, this command cannot have the old ones back.
        flags = shlex.join(f"{key}={began_with[key]}" for key in changed if key.startswith("--") and key in began_with)
        advice = f"continue it with {flags}, or " if flags else "it cannot be continued with these: "
        raise UserError(
            f"--output: expected the settings that the unfinished work in {self.folder} began with, received "
            f"{received}; {advice}remove that directory to begin anew"
        )


@contextlib.contextmanager
def unfinished_work(output: Path) -> Iterator[UnfinishedWork]:
    """Locks the hidden folder beside `output`, made if missing, as long as this process is in the context.

    Raises:
        UserError: `output` exists, or another process holds the lock.
    """
    folder = output.with_name(f".{output.name}.unfinished")
    _check_is_new(output, folder)
    with contextlib.ExitStack() as stack:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            _check_is_no_link(folder)
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)  # which gives the lock up, as the end of the process does
            _lock(descriptor, output)
            # Another process may have finished, and removed the folder, after this one opened it.
            if folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat()):
                break
        _check_is_new(output, folder)
        yield UnfinishedWork(folder, output)


def write_text(path: Path, text: str) -> None:
    """Write a file that is there as a whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    sync(partial)
    partial.replace(path)


def sync(path: Path) -> int:
    """Wait until a file is on the disk; return its length."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(read_text(path)))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"expected the settings that unfinished work began with in {path}, received something else; remove "
            f"{path.parent} to begin anew"
        ) from error


def _read_shard(path: Path) -> FinishedShard | None:
    """Return what a note says; None if it is damaged: that shard is written again."""
    try:
        content = json.loads(read_text(path))
        shard = FinishedShard(**content | {"class_counts": tuple(content["class_counts"])})
        numbers = (shard.num_bytes, shard.num_records, shard.num_images, *shard.class_counts)
        whole = path.name == f"{shard.index}.json" and isinstance(shard.file, str) and min(numbers) >= 0
        return shard if whole and isinstance(shard.skipped, dict) else None
    except (ValueError, KeyError, TypeError):
        return None


def _check_is_no_link(folder: Path) -> None:
    if folder.is_symlink():
        raise UserError(f"--output: expected a folder of this tool, received {folder}, which is a link")


def _check_is_new(output: Path, folder: Path) -> None:
    if output.exists():
        if not (folder / "files").exists():  # cut off between the two steps of publishing
            shutil.rmtree(folder, ignore_errors=True)
        raise UserError(
            f"--output: expected a directory without {output.name} in it, received {output}, which exists; remove that "
            "directory to prepare the data again, or pass another --output"
        )


def _lock(descriptor: int, output: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            _logger.warning("%s: no locks here (%s): do not run this twice at once", output.parent, error.strerror)
            return
        raise UserError(
            f"--output: expected that no other process prepares {output}, received one that does; wait for it, or stop "
            "it and run this command again"
        ) from None
