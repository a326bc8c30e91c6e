"""A tar archive without compression as a tree of files."""

from __future__ import annotations

import copy
import logging
import os
import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from sagan_tf.data.trees.archive_tree import ArchiveTree, make_change_error, normalize_member_name
from sagan_tf.data.trees.layout_error import LayoutError
from sagan_tf.data.trees.tree import Listing

_logger = logging.getLogger("sagan_tf")


class TarMember(NamedTuple):
    """The place of a file in a tar archive.

    Attributes:
        offset: Position of its first byte.
        num_bytes: Its size.
        time: The time of its last change, in seconds since 1970.
    """

    offset: int
    num_bytes: int
    time: int


class _OpenedFile:
    """A file that is open for reading, also in a process to which it is sent.

    Args:
        path: The file.
        version: The version that is expected; None for any.

    Attributes:
        version: The size of the file and the time of its last change.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: str, version: tuple[int, int] | None = None) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        status = os.fstat(self._descriptor)
        found = status.st_size, status.st_mtime_ns
        self.version = version or found
        self._is_changed = self.version != found

    def __reduce__(self) -> tuple[Any, ...]:
        return _OpenedFile, (self._path, self.version)

    def read(self, num_bytes: int, offset: int) -> bytes:
        """Return bytes of the file; raise OSError if it is not the expected version."""
        if self._is_changed:
            raise make_change_error(self._path)
        return os.pread(self._descriptor, num_bytes, offset)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


class TarTree(ArchiveTree[TarMember]):
    """The files of a tar archive without compression.

    Links to files of the archive are followed. Links to other paths, to directories and to other links, sparse files
    and devices are left out.
    """

    def select(self, paths: Iterable[str]) -> TarTree:
        """See `FileTree.select`. Another process receives the places of the selected files only."""
        selected, paths = copy.copy(self), tuple(paths)
        selected._members = {self._prefix + path: self._members[self._prefix + path] for path in paths}
        selected._listing = Listing(paths)
        return selected

    def _list_members(self) -> Iterator[tuple[str, TarMember]]:
        try:
            yield from _list_tar(self._archive)
            self._file = _OpenedFile(self._archive)
        except (tarfile.TarError, EOFError, ValueError, OSError) as error:
            raise LayoutError(f"cannot read the tar archive {self._archive}: {error}; make it again") from error

    def _read_member(self, member: TarMember, limit: int | None = None) -> bytes:
        num_bytes = member.num_bytes if limit is None else min(limit, member.num_bytes)
        return self._file.read(num_bytes, member.offset)

    def _describe_member(self, member: TarMember) -> tuple[int, ...]:
        # A tar archive has no checksums of files: another file of the same size and time differs by the archive's time.
        return member.num_bytes, member.time, *self._file.version


def _list_tar(archive: str) -> Iterator[tuple[str, TarMember]]:
    """Yield the names and places of the files in a tar archive."""
    found: dict[str, TarMember] = {}
    links: list[tuple[str, str]] = []
    with tarfile.open(archive, "r:", errors="surrogateescape") as file:
        for info in _read_headers(file):
            if info.issym() or info.islnk():
                directory = posixpath.dirname(info.name) if info.issym() else ""
                links.append((info.name, posixpath.normpath(posixpath.join(directory, info.linkname))))
            elif info.isreg() and not info.issparse():
                member = TarMember(info.offset_data, info.size, int(info.mtime))
                if path := normalize_member_name(info.name):
                    found[path] = member
                yield info.name, member
    num_lost = 0
    for name, target in links:
        if member_of_target := found.get(normalize_member_name(target) or ""):
            yield name, member_of_target
        else:
            num_lost += 1
    if num_lost:
        _logger.warning("%s: ignored %d links that do not lead to a file in the archive", archive, num_lost)


def _read_headers(file: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield every header; raise `tarfile.ReadError` if one is damaged, where tarfile ends without an error."""
    previous = -1
    while (info := file.next()) is not None:
        if info.offset <= previous:  # some versions of tarfile read a header with a negative size without end
            raise tarfile.ReadError(f"the header of {info.name} has an invalid size")
        previous = info.offset
        file.members = []  # type: ignore[attr-defined]  # tarfile keeps headers: a gigabyte for a million files
        yield info
    with open(str(file.name), "rb") as archive:
        archive.seek(file.offset)
        end = archive.read(tarfile.BLOCKSIZE)
    if end.strip(b"\0"):
        raise tarfile.ReadError(f"the header at byte {file.offset:,} is damaged")
    if not end:
        _logger.warning("%s: the archive has no end mark; it may be incomplete", file.name)
