"""A directory on disk as a tree of files."""

from __future__ import annotations

import os
from pathlib import Path

from sagan_tf.data.images.file_names import is_ignored, is_image
from sagan_tf.data.images.limits import read_file
from sagan_tf.data.trees.layout_error import LayoutError
from sagan_tf.data.trees.tree import FileTree, Listing, sort_paths


class DirectoryTree(FileTree):
    """The files of a directory. Links are followed."""

    def list_files(self) -> Listing:
        """See `FileTree.list_files`.

        Below each directory of the root, a directory that several links lead to is listed once. The root and the
        directories that contain it are never listed again. So no chain of links is endless.
        """
        images, directories, others = _list_directory(self.root)
        root_files, num_ignored, empty = tuple(others), len(others), []
        root = Path(self.root).resolve()
        above = {_identify(directory) for directory in (root, *root.parents)}
        for name in directories:
            below, num_others = self._list_below(name, set(above))
            images += below
            num_ignored += num_others
            if not below:
                empty.append(name)
        return Listing(tuple(images), root_files, tuple(empty), num_ignored)

    def read(self, path: str) -> bytes:
        """See `FileTree.read`."""
        return read_file(os.path.join(self.root, path))

    def get_version(self, path: str) -> tuple[int, int]:
        """See `FileTree.get_version`."""
        status = os.stat(os.path.join(self.root, path))
        return status.st_size, status.st_mtime_ns

    def _list_below(self, name: str, seen: set[tuple[int, int]]) -> tuple[list[str], int]:
        """Return the sorted images in a directory and below it, and the number of other files.

        Args:
            name: Name of a directory in the root.
            seen: Directories that are not listed. Those that are listed now are added.
        """
        images, num_others, pending = [], 0, [name]
        while pending:
            relative = pending.pop()
            if (identity := _identify(os.path.join(self.root, relative))) in seen:
                continue
            seen.add(identity)
            found, directories, others = _list_directory(os.path.join(self.root, relative))
            images += [f"{relative}/{image}" for image in found]
            num_others += len(others)
            pending += [f"{relative}/{directory}" for directory in reversed(directories)]
        return sort_paths(images), num_others


def _identify(directory: str | Path) -> tuple[int, int]:
    """Return what tells a directory from every other, whatever its path."""
    try:
        status = os.stat(directory)
    except OSError as error:
        raise LayoutError(f"cannot read the directory {directory}: {error.strerror}") from error
    return status.st_dev, status.st_ino


def _list_directory(directory: str) -> tuple[list[str], list[str], list[str]]:
    """Return the sorted names of the images, directories and other files of a directory."""
    images: list[str] = []
    directories: list[str] = []
    others: list[str] = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if is_ignored(entry.name):
                    continue
                if _is_directory(entry):
                    directories.append(entry.name)
                else:
                    (images if is_image(entry) else others).append(entry.name)
    except OSError as error:
        raise LayoutError(f"cannot read the directory {directory}: {error.strerror}") from error
    return sort_paths(images), sort_paths(directories), sort_paths(others)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: an unreadable image, if it has the name of an image
        return False
