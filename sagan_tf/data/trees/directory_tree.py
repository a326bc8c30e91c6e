"""A directory on disk as a tree of files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from sagan_tf.data.images.file_names import is_ignored, is_image
from sagan_tf.data.images.limits import read_file
from sagan_tf.data.trees.layout_error import LayoutError
from sagan_tf.data.trees.tree import FileTree, Listing, sort_paths


class _Content(NamedTuple):
    """The names of the entries of a directory.

    Attributes:
        images: Image files.
        directories: Directories that are not links.
        links: Links to directories.
        others: Other files.
    """

    images: list[str]
    directories: list[str]
    links: list[str]
    others: list[str]


class DirectoryTree(FileTree):
    """The files of a directory. Links are followed."""

    def list_files(self) -> Listing:
        """See `FileTree.list_files`.

        All directories are listed. Links to directories are followed after them, if the directory has not been listed
        below the same directory of the root, and is neither the root nor contains it. So no chain of links is endless.
        """
        content = _list_directory(self.root)
        images, num_ignored, num_skipped, empty = list(content.images), len(content.others), 0, []
        root = Path(self.root).resolve()
        above = {_identify(directory) for directory in (root, *root.parents)}
        for name in sort_paths(content.directories + content.links):
            below = self._list_below(name, name in content.links, set(above))
            images += below.images
            num_ignored += below.num_ignored
            num_skipped += below.num_skipped_links
            if not below.images:
                empty.append(name)
        return Listing(tuple(images), tuple(content.others), tuple(empty), num_ignored, num_skipped)

    def read(self, path: str) -> bytes:
        """See `FileTree.read`."""
        return read_file(os.path.join(self.root, path))

    def get_version(self, path: str) -> tuple[int, int]:
        """See `FileTree.get_version`."""
        status = os.stat(os.path.join(self.root, path))
        return status.st_size, status.st_mtime_ns

    def _list_below(self, name: str, is_link: bool, seen: set[tuple[int, int]]) -> Listing:
        """Return the sorted images in a directory and below it, and the numbers of what is left out.

        Args:
            name: Name of a directory in the root.
            is_link: Whether it is a link to a directory.
            seen: Directories to which no link is followed. Those that are listed now are added.
        """
        images: list[str] = []
        num_others = num_skipped = 0
        directories, links = ([], [name]) if is_link else ([name], [])
        while directories or links:
            if directories:
                relative = directories.pop()
            elif _identify(os.path.join(self.root, relative := links.pop(0))) in seen:
                num_skipped += 1
                continue
            seen.add(_identify(os.path.join(self.root, relative)))
            content = _list_directory(os.path.join(self.root, relative))
            images += [f"{relative}/{image}" for image in content.images]
            directories += [f"{relative}/{directory}" for directory in content.directories]
            links += [f"{relative}/{link}" for link in content.links]
            num_others += len(content.others)
        return Listing(tuple(sort_paths(images)), num_ignored=num_others, num_skipped_links=num_skipped)


def _identify(directory: str | Path) -> tuple[int, int]:
    """Return what tells a directory from every other, whatever its path."""
    try:
        status = os.stat(directory)
    except OSError as error:
        raise LayoutError(f"cannot read the directory {directory}: {error.strerror}") from error
    return status.st_dev, status.st_ino


def _list_directory(directory: str) -> _Content:
    """Return the sorted names of the entries of a directory."""
    content = _Content([], [], [], [])
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if is_ignored(entry.name):
                    continue
                if _is_directory(entry):
                    (content.links if entry.is_symlink() else content.directories).append(entry.name)
                else:
                    (content.images if is_image(entry) else content.others).append(entry.name)
    except OSError as error:
        raise LayoutError(f"cannot read the directory {directory}: {error.strerror}") from error
    return _Content(*map(sort_paths, content))


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: an unreadable image, if it has the name of an image
        return False
