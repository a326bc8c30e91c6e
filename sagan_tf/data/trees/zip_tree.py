"""A zip archive as a tree of files."""

from __future__ import annotations

import functools
import lzma
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from sagan_tf.data.images.limits import UnreadableImageError
from sagan_tf.data.trees.archive_tree import ArchiveTree, make_change_error
from sagan_tf.data.trees.layout_error import LayoutError

_WINDOWS = 0
"""The number of the system on which a file was stored."""
_ENCRYPTED = 1
"""The bit of a file's flags that says that it is encrypted."""
_END_BYTES = 22
"""The length of the record at the end of an archive, without its comment. Bytes 10 and 11 are the number of files."""
_IS_IN_ZIP64 = 2**16 - 1
"""Stands in the record for a number that is stored elsewhere."""
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(NotImplementedError, EOFError, ValueError, RuntimeError, OverflowError),
)
"""Errors of zipfile and its decompressors for damaged archives."""


class ZipTree(ArchiveTree[zipfile.ZipInfo]):
    """The files of a zip archive, stored or compressed."""

    _is_changed = False
    """Whether the archive has changed since the main process listed its images."""

    def read(self, path: str) -> bytes:
        """See `FileTree.read`."""
        if self._is_changed:
            raise make_change_error(self._archive)
        return super().read(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_once, (self._archive, self._directory, self._version)

    def _list_members(self) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        self._lock = threading.Lock()
        try:
            self._file = zipfile.ZipFile(self._archive)
            status = os.fstat(self._file.fp.fileno())  # type: ignore[union-attr]  # that of the file that was listed
            self._version = status.st_size, status.st_mtime_ns
            _check_number_of_files(self._file)
        except (*_DAMAGE, OSError) as error:
            raise LayoutError(f"cannot read the zip archive {self._archive}: {error}; make it again") from error
        for info in self._file.infolist():
            if info.flag_bits & _ENCRYPTED:
                raise LayoutError(f"{self._archive} is encrypted; make a zip archive without a password")
            if not info.is_dir():
                # Some programs for Windows write its separator, which the format does not allow.
                is_from_windows = info.create_system == _WINDOWS
                yield info.filename.replace("\\", "/") if is_from_windows else info.filename, info

    def _read_member(self, member: zipfile.ZipInfo, limit: int | None = None) -> bytes:
        try:
            with self._lock:  # to open and to close a file changes a counter of the archive
                file = self._file.open(member)
            try:
                return file.read(member.file_size if limit is None else limit)  # never more than the declared size
            finally:
                with self._lock:
                    file.close()
        except (*_DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # bzip2 raises an OSError without a number
                raise
            raise UnreadableImageError(f"damaged in the archive: {type(error).__name__}: {error}") from error

    def _describe_member(self, member: zipfile.ZipInfo) -> tuple[int, int]:
        return member.file_size, member.CRC


@functools.lru_cache(maxsize=1)
def _open_once(archive: str, directory: str, version: tuple[int, int]) -> ZipTree:
    """Open an archive that another process has opened, once for all parts of it that this process receives.

    Args:
        archive: See `ArchiveTree`.
        directory: See `ArchiveTree`.
        version: The size of the archive and the time of its last change. The files of another version cannot be read.
    """
    tree = ZipTree(archive, directory)
    tree._is_changed, tree._version = tree._version != version, version
    return tree


def _check_number_of_files(archive: zipfile.ZipFile) -> None:
    """Raise `zipfile.BadZipFile` if a damaged length in the list of files hides the files after it."""
    with open(str(archive.filename), "rb") as file:
        file.seek(-(_END_BYTES + len(archive.comment)), 2)
        number = int.from_bytes(file.read(_END_BYTES)[10:12], "little")
    if number not in (_IS_IN_ZIP64, len(archive.infolist()) % 2**16):
        raise zipfile.BadZipFile(f"expected {number} files, received {len(archive.infolist())}")
