"""Opening of a tree of files by its path."""

from __future__ import annotations

from pathlib import Path

from sagan_tf.data.trees.directory_tree import DirectoryTree
from sagan_tf.data.trees.layout_error import LayoutError
from sagan_tf.data.trees.tree import FileTree


def open_tree(path: str) -> FileTree:
    """Open a directory.

    Args:
        path: The directory.

    Returns:
        The tree of its files.

    Raises:
        LayoutError: The path is empty or does not exist, or is not a directory.
    """
    if not path:
        raise LayoutError("expected the directory of the images, received an empty path", ["DIRECTORY"])
    root = Path(path)
    if not root.exists():
        raise LayoutError(f"expected a directory of images, received {path}, which does not exist")
    if not root.is_dir():
        raise LayoutError(f"expected a directory of images, received {path}, which is a file")
    return DirectoryTree(str(root))
