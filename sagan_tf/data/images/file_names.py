"""The rule by which every command tells images from the other files of a directory. Imports no TensorFlow."""

from __future__ import annotations

import os
import pathlib

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif")
"""File name extensions of images, in upper or lower case."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
_SYSTEM_NAMES = {
    *("@eadir", "#recycle", "#snapshot", "@recycle"),  # network storage (Synology, QNAP)
    *("__macosx", "icon\r"),  # macOS, beside hidden files such as .DS_Store and ._NAME
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),  # Windows
    "lost+found",
}


def is_ignored(name: str) -> bool:
    """Return whether a directory entry is ignored without a log line.

    Args:
        name: The name of a file or directory.

    Returns:
        True for hidden entries, for files that operating systems and network storage create, and for the records that
        `sagan_tf.sample` writes beside its images.
    """
    is_record = name.startswith("seeds_") and name.endswith(".json")
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES or is_record


def has_files(directory: pathlib.Path) -> bool:
    """Return whether a directory has entries that `is_ignored` does not ignore.

    A file manager may leave a hidden file in a new directory that it has only displayed.
    """
    return any(not is_ignored(path.name) for path in directory.iterdir())


def is_image(entry: os.DirEntry[str]) -> bool:
    """Return whether a file is an image, by its extension or else by its first bytes.

    Args:
        entry: A file. If it has an extension, it need not be readable or exist.

    Returns:
        True for a file with one of `EXTENSIONS`, and for a JPEG, PNG, WebP or GIF file without an extension.
    """
    is_named = is_image_name(entry.name)
    if is_named is not None:
        return is_named
    try:
        if not entry.is_file():  # opening a pipe would block forever
            return False
        with open(entry.path, "rb", buffering=0) as file:
            return has_image_signature(file.read(12))
    except OSError:
        return False


def is_image_name(name: str) -> bool | None:
    """Return whether a file is an image by its extension, or None if it has no extension."""
    if os.path.splitext(name)[1] in ("", "."):
        return None
    return name.lower().endswith(EXTENSIONS)


def has_image_signature(first: bytes) -> bool:
    """Return whether a file is a JPEG, PNG, WebP or GIF file by its first 12 bytes."""
    return first.startswith(_SIGNATURES) or (first[:4] == b"RIFF" and first[8:] == b"WEBP")
