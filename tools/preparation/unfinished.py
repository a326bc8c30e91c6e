"""Work that can be interrupted at any moment: a hidden directory that is renamed when everything is written.

DIR/.SPLIT.unfinished/settings.json     settings with which the work began
DIR/.SPLIT.unfinished/finished/N.json   description of shard N; exists when the shard is complete
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
from sagan_tf.files import replace_atomically
from sagan_tf.text import read_text

_logger = logging.getLogger("sagan_tf")


@dataclasses.dataclass(frozen=True)
class FinishedShard:
    """Description of a complete shard.

    Attributes:
        index: Number of the shard.
        file: Name of its record file.
        num_bytes: Length of that file.
        num_records: Number of images from which it was made, including unreadable ones.
        num_images: Number of images in it.
        class_counts: Number of its images of each class.
        skipped: Reasons why images were skipped, by name.
    """

    index: int
    file: str
    num_bytes: int
    num_records: int
    num_images: int
    class_counts: tuple[int, ...]
    skipped: dict[str, str]


class UnfinishedWork:
    """Hidden directory, locked by this process; see `lock_unfinished_work`.

    Args:
        directory: Hidden directory, which exists.
        output: Directory that the files become when they are published.
    """

    def __init__(self, directory: Path, output: Path) -> None:
        self.directory = directory
        self.files = directory / "files"
        self._output = output
        self._finished = directory / "finished"

    def begin(self, settings: dict[str, Any]) -> dict[int, FinishedShard]:
        """Begin or continue the work, and remove incomplete files.

        Returns:
            The finished shards by number.

        Raises:
            UserError: The work began with other settings.
        """
        path = self.directory / "settings.json"
        if path.exists():
            self._check_settings(_read_settings(path), settings)
        else:
            _write_to_disk(path, json.dumps(settings, indent=1) + "\n")
        for directory in (self.files, self._finished):
            directory.mkdir(exist_ok=True)
            _reject_symbolic_link(directory)  # files elsewhere would be removed as incomplete
        described = map(_read_finished_shard, self._finished.glob("*.json"))
        finished = {shard.index: shard for shard in described if shard is not None}
        complete = {index: shard for index, shard in finished.items() if self._is_complete(shard)}
        files = {shard.file for shard in complete.values()}
        for path in self.files.iterdir():
            if path.name not in files:
                path.unlink()
        return complete

    def finish(self, shard: FinishedShard) -> None:
        """Record that a shard is complete; its file must be on disk."""
        content = json.dumps(dataclasses.asdict(shard)) + "\n"
        _write_to_disk(self._finished / f"{shard.index}.json", content)

    def publish(self) -> None:
        """Make the output appear as a whole."""
        for path in self.files.iterdir():
            flush_to_disk(path)
        self.files.rename(self._output)
        self.discard()

    def discard(self) -> None:
        """Remove the hidden directory."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _is_complete(self, shard: FinishedShard) -> bool:
        # After a power failure the description may be on disk without the file.
        path = self.files / shard.file
        return path.parent == self.files and path.exists() and path.stat().st_size == shard.num_bytes

    def _check_settings(self, began_with: dict[str, Any], settings: dict[str, Any]) -> None:
        changed = [key for key in began_with | settings if began_with.get(key) != settings.get(key)]
        if not changed:
            return
        received = ", ".join(f"{key}={settings.get(key)!r} instead of {began_with.get(key)!r}" for key in changed)
        # A different flag may explain different images; without one, this command cannot restore the old images.
        flags = shlex.join(f"{key}={began_with[key]}" for key in changed if key.startswith("--") and key in began_with)
        advice = f"continue it with {flags}, or " if flags else "it cannot be continued with these; "
        raise UserError(
            f"output: the unfinished work in {self.directory} began with other settings, received {received}; "
            f"{advice}remove that directory to start again"
        )


@contextlib.contextmanager
def lock_unfinished_work(output: Path) -> Iterator[UnfinishedWork]:
    """Lock the hidden directory next to `output` during the context.

    The directory is created if it does not exist.

    Raises:
        UserError: `output` exists, or another process holds the lock.
    """
    directory = output.with_name(f".{output.name}.unfinished")
    _check_output_is_new(output, directory)
    with contextlib.ExitStack() as stack:
        while True:
            directory.mkdir(parents=True, exist_ok=True)
            _reject_symbolic_link(directory)
            descriptor = os.open(directory, os.O_RDONLY)
            stack.callback(os.close, descriptor)  # releases the lock, as the end of the process does
            _lock_directory(descriptor, output)
            # Another process may have finished and removed the directory after this process opened it.
            if directory.exists() and os.path.samestat(os.fstat(descriptor), directory.stat()):
                break
        _check_output_is_new(output, directory)
        yield UnfinishedWork(directory, output)


def _write_to_disk(path: Path, text: str) -> None:
    """Write a file that is complete, and on the disk, as soon as it has its name."""
    with replace_atomically(path, shared=True) as temporary:  # A process may outlive its parent for a moment.
        temporary.write_text(text, encoding="utf-8")
        flush_to_disk(temporary)


def flush_to_disk(path: Path) -> int:
    """Wait until a file is on the disk; return its length."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(read_text(path)))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"output: {path} does not contain the settings of unfinished work; remove {path.parent} to start again"
        ) from error


def _read_finished_shard(path: Path) -> FinishedShard | None:
    """Read the description of a shard.

    The result is None if the description is damaged, so that the shard is written again.
    """
    try:
        content = json.loads(read_text(path))
        shard = FinishedShard(**content | {"class_counts": tuple(content["class_counts"])})
        numbers = (shard.num_bytes, shard.num_records, shard.num_images, *shard.class_counts)
        is_valid = path.name == f"{shard.index}.json" and isinstance(shard.file, str) and min(numbers) >= 0
        return shard if is_valid and isinstance(shard.skipped, dict) else None
    except (ValueError, KeyError, TypeError):
        return None


def _reject_symbolic_link(directory: Path) -> None:
    if directory.is_symlink():
        raise UserError(f"output: {directory} is a symbolic link, but expected a directory of this tool; remove it")


def _check_output_is_new(output: Path, directory: Path) -> None:
    if output.exists():
        if not (directory / "files").exists():  # interrupted between the two steps of publishing
            shutil.rmtree(directory, ignore_errors=True)
        raise UserError(
            f"output: {output} already exists; remove that directory to prepare the data again, or pass another "
            "--output"
        )


def _lock_directory(descriptor: int, output: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            _logger.warning(
                "%s: locks do not work here (%s); run only one process at a time", output.parent, error.strerror
            )
            return
        raise UserError(
            f"output: another process is preparing {output}; wait for its end, or stop it and run this command again"
        ) from None
