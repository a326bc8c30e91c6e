"""Opening of a tree of files by its path."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from sagan_tf.data.trees.directory_tree import DirectoryTree
from sagan_tf.data.trees.layout_error import LayoutError
from sagan_tf.data.trees.tar_tree import TarTree
from sagan_tf.data.trees.tree import FileTree
from sagan_tf.data.trees.zip_tree import ZipTree

_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes of files with a compression that has to be read from the beginning."""
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of a zip archive with and without files."""
_EXPECTED = "expected a directory of images, a .zip or a .tar"


def open_tree(path: str) -> FileTree:
    """Open a directory or an archive.

    Args:
        path: A directory, a zip or tar archive, or a directory in an archive, such as `images.zip/train`.

    Returns:
        The tree of its files.

    Raises:
        LayoutError: The path is empty, does not exist or is another file, or the archive cannot be read.
    """
    if not path:
        raise LayoutError("expected the directory of the images, received an empty path", ["DIRECTORY"])
    root = Path(path)
    if root.is_dir():
        return DirectoryTree(str(root))
    archive = next((parent for parent in (root, *root.parents) if parent.is_file()), None)
    if archive is None:
        raise LayoutError(f"{_EXPECTED}, received {path}, which does not exist")
    directory = "" if archive == root else root.relative_to(archive).as_posix()
    return _open_archive(str(archive), directory)


def _open_archive(archive: str, directory: str) -> FileTree:
    """Open an archive by its first bytes, whatever its name is. The end of a tar archive can be a zip archive."""
    try:
        with open(archive, "rb") as file:
            first = file.read(8)
        if first.startswith(_ZIP):
            return ZipTree(archive, directory)
        for signature, name in _COMPRESSED.items():
            if first.startswith(signature):
                raise LayoutError(
                    f"{archive} is compressed with {name} as a whole, so that its images cannot be read in any order; "
                    "unpack it and pass the directory, or make a .zip or a .tar without compression"
                )
        if tarfile.is_tarfile(archive):
            return TarTree(archive, directory)
        if zipfile.is_zipfile(archive):  # with a program in front of it
            return ZipTree(archive, directory)
    except OSError as error:
        raise LayoutError(f"cannot read {archive}: {error.strerror}") from error
    raise LayoutError(f"{_EXPECTED}, received {archive}, which is another file")
