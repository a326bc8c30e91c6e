"""Record files that are cut off or changed: told before TensorFlow's reader gets them, or named after it stopped."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from sagan_tf.data.images.limits import LARGEST_FILE
from sagan_tf.data.images.skipped import SkippedImages
from sagan_tf.data.records.record_files import prepare_again
from sagan_tf.errors import UserError
from sagan_tf.text import printable

_LENGTH, _CHECKSUM = 8, 4
_LARGEST_RECORD = LARGEST_FILE + 2**20
_OFFSET = re.compile(r"record at (\d+)")


class SkippedRecords(SkippedImages):
    """The images of record files that could not be read; and files whose records cannot even be told apart."""

    def __init__(self, paths: tuple[str, ...], num_examples: int, *, log: bool = True) -> None:
        """Args:
        paths: the record files.
        num_examples, log: see `SkippedImages`.
        """
        super().__init__(num_examples, log=log)
        self._paths = paths
        self._prepare_again = prepare_again(next(iter(paths), ""))
        self._advice = f" in the original data, then {self._prepare_again}"
        self._checked: set[tuple[Any, ...]] = set()

    def checked(self, path: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """`path`, after the first `count` records of that file were found to be whole; in a graph.

        TensorFlow's reader takes as much memory as a record says that it is long, and dies of it (2.21). A file that
        ends within the head of a record is a whole one to it; and of files without records, epochs would have no end.
        """

        def check(path: bytes, count: int) -> bytes:
            if b"://" not in path:  # of remote storage, the head of each record would be a request
                self._check(os.fsdecode(path), int(count))
            return path

        return tf.ensure_shape(tf.numpy_function(check, [path, count], tf.string), [])

    @contextlib.contextmanager
    def raising_user_errors(self) -> Iterator[None]:
        """See `SkippedImages.raising_user_errors`; a damaged file is named."""
        with super().raising_user_errors():
            try:
                yield
            except tf.errors.DataLossError as error:
                if (found := _OFFSET.search(error.message)) is None:
                    raise
                path = self._damaged_at(int(found[1]))
                raise self._damaged(f"{path} with a damaged record at byte {found[1]}") from error

    def _check(self, path: str, count: int) -> None:
        try:
            status = os.stat(path)
            state = (path, count, status.st_size, status.st_mtime_ns)
            if state not in self._checked:
                _check_records(path, count)
                self._checked.add(state)
        except OSError as error:  # it says nothing of what is in the file
            self.error = UserError(
                f"data: cannot read the record file {printable(path)} ({error.strerror}); check its permissions and "
                "that its file system is mounted"
            )
            raise self.error from error
        except ValueError as error:
            self.error = self._damaged(f"{path}: {error}")
            raise self.error from error

    def _damaged(self, received: str) -> UserError:
        return UserError(f"data: expected intact record files, received {printable(received)}; {self._prepare_again}")

    def _damaged_at(self, position: int) -> str:
        """Return the file with a damaged record that begins, or whose content begins, at `position`."""
        for path in self._paths:
            with contextlib.suppress(OSError, ValueError):
                for number, start in enumerate(record_starts(path)):
                    if start >= position - _LENGTH - _CHECKSUM:
                        if start <= position and _is_damaged(path, number + 1):
                            return path
                        break
        return "one"


def _check_records(path: str, count: int) -> None:
    found = sum(1 for _ in zip(range(count), record_starts(path), strict=False))
    if found < count:
        raise ValueError(f"expected {count} records in it, received {found}")


def record_starts(path: str) -> Iterator[int]:
    """Where each record of a local file begins, by their lengths alone.

    Raises:
        ValueError: a record is longer than the file, or than any; or it is no file.
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("expected a file, received a folder, pipe or device")
    with open(path, "rb") as file:
        size, start = os.fstat(file.fileno()).st_size, 0
        while start < size:
            length = int.from_bytes(os.pread(file.fileno(), _LENGTH, start), "little")
            end = start + _LENGTH + _CHECKSUM + length + _CHECKSUM
            if end > size or length > _LARGEST_RECORD:
                raise ValueError(f"damaged or cut off at byte {start} of {size}")
            yield start
            start = end


def _is_damaged(path: str, count: int) -> bool:
    """Return whether TensorFlow refuses one of the first `count` records, whose lengths are known to be right."""
    try:
        for _ in tf.data.TFRecordDataset(path).take(count):
            pass
    except tf.errors.DataLossError:
        return True
    return False
