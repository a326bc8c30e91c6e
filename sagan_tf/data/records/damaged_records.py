"""Detection of truncated or changed record files, before TensorFlow reads them or after TensorFlow's reader fails."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from sagan_tf.data.images.limits import MAX_FILE_BYTES
from sagan_tf.data.images.skipped import SkippedImages
from sagan_tf.data.records.file_errors import format_repair_advice
from sagan_tf.errors import UserError
from sagan_tf.text import make_printable

_LENGTH_BYTES, _CHECKSUM_BYTES = 8, 4
_MAX_RECORD_BYTES = MAX_FILE_BYTES + 2**20
_RECORD_OFFSET = re.compile(r"record at (\d+)")


class SkippedRecords(SkippedImages):
    """The unreadable images and the damaged files of a set of record files.

    Args:
        paths: The record files.
        num_examples: Images in all of them; see `SkippedImages`.
        log: Whether to log each image; see `SkippedImages`.
    """

    def __init__(self, paths: tuple[str, ...], num_examples: int, *, log: bool = True) -> None:
        super().__init__(num_examples, log=log)
        self._paths = paths
        self._repair_advice = format_repair_advice(next(iter(paths), ""))
        self._advice = f" in the original data, then {self._repair_advice}"
        self._checked: set[tuple[Any, ...]] = set()

    def check_file(self, path: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """Check, in a graph, that the first `count` records of a file are complete.

        TensorFlow's reader allocates as much memory as a record declares as its length, and crashes (2.21). It takes a
        file that ends within the header of a record for complete, and epochs of files without records would never end.

        Args:
            path: The record file, string scalar.
            count: The number of records to check, integer scalar.

        Returns:
            `path`, evaluated after the check.
        """

        def check(path: bytes, count: int) -> bytes:
            if b"://" not in path:  # on remote storage, the header of each record would be a request
                self._check_local_file(os.fsdecode(path), int(count))
            return path

        return tf.ensure_shape(tf.numpy_function(check, [path, count], tf.string), [])

    @contextlib.contextmanager
    def raise_user_errors(self) -> Iterator[None]:
        """Enter a context that replaces TensorFlow's error by a `UserError`.

        See `SkippedImages.raise_user_errors`. The error for a damaged record names its file.
        """
        with super().raise_user_errors():
            try:
                yield
            except tf.errors.DataLossError as error:
                if (match := _RECORD_OFFSET.search(error.message)) is None:
                    raise
                path = self._find_damaged_file(int(match[1]))
                raise self._make_damage_error(path, f"damaged record at byte {match[1]}") from error

    def _check_local_file(self, path: str, count: int) -> None:
        try:
            status = os.stat(path)
            state = (path, count, status.st_size, status.st_mtime_ns)
            if state not in self._checked:
                _check_records(path, count)
                self._checked.add(state)
        except OSError as error:  # says nothing about the content of the file
            self.error = UserError(
                f"data: cannot read the record file {make_printable(path)} ({error.strerror}); check its permissions "
                "and that its file system is mounted"
            )
            raise self.error from error
        except ValueError as error:
            self.error = self._make_damage_error(path, str(error))
            raise self.error from error

    def _make_damage_error(self, path: str, reason: str) -> UserError:
        return UserError(
            f"data: the record file {make_printable(path)} is damaged: {make_printable(reason)}; {self._repair_advice}"
        )

    def _find_damaged_file(self, position: int) -> str:
        """Return the file that has a damaged record at `position`.

        `position` is the offset of the record or of its content. The result is "(unknown)" if no file matches.
        """
        for path in self._paths:
            with contextlib.suppress(OSError, ValueError):
                for number, start in enumerate(iterate_record_starts(path)):
                    if start >= position - _LENGTH_BYTES - _CHECKSUM_BYTES:
                        if start <= position and _is_damaged(path, number + 1):
                            return path
                        break
        return "(unknown)"


def _check_records(path: str, count: int) -> None:
    found = sum(1 for _ in zip(range(count), iterate_record_starts(path), strict=False))
    if found < count:
        raise ValueError(f"expected {count} records, received {found}")


def iterate_record_starts(path: str) -> Iterator[int]:
    """Yield the offset of each record of a local file.

    The offsets come from the lengths of the records alone.

    Args:
        path: The record file.

    Yields:
        Offsets in bytes.

    Raises:
        ValueError: A record is longer than the file or than any valid record, or the path is not a regular file.
        OSError: The file cannot be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("expected a regular file, received a directory, pipe or device")
    with open(path, "rb") as file:
        size, start = os.fstat(file.fileno()).st_size, 0
        while start < size:
            length = int.from_bytes(os.pread(file.fileno(), _LENGTH_BYTES, start), "little")
            end = start + _LENGTH_BYTES + _CHECKSUM_BYTES + length + _CHECKSUM_BYTES
            if end > size or length > _MAX_RECORD_BYTES:
                raise ValueError(f"damaged or truncated at byte {start} of {size}")
            yield start
            start = end


def _is_damaged(path: str, count: int) -> bool:
    """Return whether TensorFlow rejects one of the first `count` records.

    The lengths of these records are known to be right.
    """
    try:
        for _ in tf.data.TFRecordDataset(path).take(count):
            pass
    except tf.errors.DataLossError:
        return True
    return False
