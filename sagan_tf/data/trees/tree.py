"""The interface of a tree of files: its images are listed once and read by path, from any thread."""

from __future__ import annotations

import abc
import dataclasses
import os
from collections.abc import Iterable

from sagan_tf.text import normalize_name


@dataclasses.dataclass(frozen=True)
class Listing:
    """The content of a tree.

    Attributes:
        images: Paths of the images relative to the root, with `/` between directories, sorted by `get_sort_key`.
        root_files: Names of the other files directly in the root.
        empty_directories: Names of the directories directly in the root that have no images in or below them.
        num_ignored: Number of files that are not images.
        num_skipped_links: Number of links to directories that are not followed.
    """

    images: tuple[str, ...]
    root_files: tuple[str, ...] = ()
    empty_directories: tuple[str, ...] = ()
    num_ignored: int = 0
    num_skipped_links: int = 0


class FileTree(abc.ABC):
    """The files of a directory or an archive.

    An object can be sent to another process. Its methods are safe for use from several threads.

    Args:
        root: The path of the directory, or of the archive and a directory in it, for messages and names of images.

    Attributes:
        root: The same path.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    @abc.abstractmethod
    def list_files(self) -> Listing:
        """List the images, without the entries that `file_names.is_ignored` ignores.

        Raises:
            LayoutError: A directory cannot be read.
        """

    @abc.abstractmethod
    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Args:
            path: The path relative to the root.

        Raises:
            UnreadableImageError: The file is too large for an image or damaged in the archive.
            OSError: The file cannot be read.
        """

    @abc.abstractmethod
    def get_version(self, path: str) -> tuple[int, ...]:
        """Return numbers that change with the content of a file: its size, and its time or checksum.

        Args:
            path: The path relative to the root.

        Raises:
            OSError: The file does not exist or cannot be accessed.
        """

    def select(self, paths: Iterable[str]) -> FileTree:
        """Return a tree with at least some of the files, which can be sent to another process at less cost.

        Args:
            paths: Paths relative to the root.
        """
        return self

    def format_name(self, path: str) -> str:
        """Return the path of a file for messages and records."""
        return os.path.join(self.root, path)


def get_sort_key(path: str) -> tuple[str, str]:
    """Return a sort key, so that an order is the same on every system: the NFC form of a path, and the path itself.

    The path itself orders two paths with the same NFC form.
    """
    return normalize_name(path), path


def sort_paths(paths: Iterable[str]) -> list[str]:
    """Sort paths by `get_sort_key`."""
    return sorted(paths, key=get_sort_key)
