"""The base class of archives: files that are read in place, by their place in one large file."""

from __future__ import annotations

import abc
import logging
import os
import posixpath
from collections.abc import Iterable
from typing import Generic, TypeVar

from sagan_tf.data.images.file_names import has_image_signature, is_ignored, is_image_name
from sagan_tf.data.images.limits import UnreadableImageError, check_file_bytes
from sagan_tf.data.trees.layout_error import LayoutError
from sagan_tf.data.trees.tables import TABLES
from sagan_tf.data.trees.tree import FileTree, Listing, sort_paths

Member = TypeVar("Member")
_SIGNATURE_BYTES = 12

_logger = logging.getLogger("sagan_tf")


class ArchiveTree(FileTree, Generic[Member]):
    """The files of an archive. Nothing is extracted to disk.

    If the archive has one directory that contains the directories of all images or a table, that directory is the root,
    because archives often have one.

    Args:
        archive: The path of the archive.
        directory: A directory in the archive that is the root; empty for the whole archive.

    Raises:
        LayoutError: The archive cannot be read, or has no such directory.
    """

    def __init__(self, archive: str, directory: str = "") -> None:
        super().__init__(archive)
        self._archive, self._directory = archive, directory
        self._members: dict[str, Member] = {}
        num_unsafe = 0
        for name, member in self._list_members():
            path = normalize_member_name(name)
            if path is None:
                num_unsafe += 1
            else:
                self._members[path] = member  # a later file replaces an earlier one of the same name
        if num_unsafe:
            _logger.warning("%s: ignored %d files with absolute paths or '..' in their paths", archive, num_unsafe)
        self._prefix = f"{directory}/" if directory else ""
        self._listing = self._list_below()
        self.root = os.path.join(archive, self._prefix.rstrip("/")) if self._prefix else archive

    @abc.abstractmethod
    def _list_members(self) -> Iterable[tuple[str, Member]]:
        """Return the names and places of the regular files in the archive; raise LayoutError if that fails."""

    @abc.abstractmethod
    def _read_member(self, member: Member, limit: int | None = None) -> bytes:
        """Return the content of a file, or its first `limit` bytes.

        Raises:
            UnreadableImageError: The file is damaged.
            OSError: The archive cannot be read.
        """

    @abc.abstractmethod
    def _describe_member(self, member: Member) -> tuple[int, ...]:
        """Return the size of a file in bytes, and its time or checksum."""

    def list_files(self) -> Listing:
        """See `FileTree.list_files`."""
        return self._listing

    def read(self, path: str) -> bytes:
        """See `FileTree.read`."""
        member = self._members[self._prefix + path]
        num_bytes = self._describe_member(member)[0]
        check_file_bytes(num_bytes)
        content = self._read_member(member)
        if len(content) != num_bytes:
            raise UnreadableImageError(f"expected {num_bytes} bytes in the archive, received {len(content)}")
        return content

    def get_version(self, path: str) -> tuple[int, ...]:
        """See `FileTree.get_version`."""
        return self._describe_member(self._members[self._prefix + path])

    def _list_below(self) -> Listing:
        """Return the content of the root, and make a directory that contains everything the root."""
        paths = [path for path in self._members if path.startswith(self._prefix)]
        if not paths:
            raise LayoutError(f"found no files in {os.path.join(self._archive, self._directory)}")
        paths = [path for path in paths if not any(map(is_ignored, path[len(self._prefix) :].split("/")))]
        images: list[str] = []
        others: list[str] = []
        for path in paths:
            (images if self._is_image(path) else others).append(path)
        self._prefix += _find_enclosing_directory(*(_cut(paths, self._prefix) for paths in (images, others)))
        relative, root_files = _cut(images, self._prefix), _cut(others, self._prefix)
        return Listing(
            tuple(sort_paths(relative)),
            tuple(sort_paths(name for name in root_files if "/" not in name)),
            num_ignored=len(others),
        )

    def _is_image(self, path: str) -> bool:
        is_named = is_image_name(path)
        if is_named is not None:
            return is_named
        try:
            return has_image_signature(self._read_member(self._members[path], _SIGNATURE_BYTES))
        except (UnreadableImageError, OSError):
            return False


def make_change_error(path: str) -> OSError:
    """Return the error for an archive that was changed while it was in use."""
    return OSError(f"{path} was changed while it was in use")


def normalize_member_name(name: str) -> str | None:
    """Return the path of a file in an archive, or None for a path that leaves the archive.

    Args:
        name: The stored name, such as `./cat/1.png`.

    Returns:
        The directories and the name, joined by `/`, without `.` and empty parts.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if name.startswith("/") or ".." in parts or not parts else "/".join(parts)


def _cut(paths: list[str], prefix: str) -> list[str]:
    """Return the paths that begin with a prefix, without it."""
    return [path[len(prefix) :] for path in paths if path.startswith(prefix)]


def _find_enclosing_directory(images: list[str], others: list[str]) -> str:
    """Return the directory that has all images and is not a class, with `/` at its end; empty for the root.

    It is the directory of a table, because a table has paths that begin there. Without a table, it is the deepest
    directory with directories of images in it.

    Args:
        images: Paths of the images.
        others: Paths of the other files.
    """
    directories = {posixpath.dirname(path) for path in images}
    common = posixpath.commonpath(directories) if directories else ""
    above = [posixpath.dirname(path) for path in others if posixpath.basename(path) in TABLES]
    tables = [directory for directory in above if f"{common}/".startswith(f"{directory}/" if directory else "")]
    without_table = posixpath.dirname(common) if directories == {common} else common
    root = min(tables, key=len, default=without_table)
    return f"{root}/" if root else ""
