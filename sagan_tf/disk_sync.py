"""Waiting until files are on the disk, for files that must survive a power failure."""

from __future__ import annotations

import contextlib
import os
import pathlib


def sync_to_disk(*paths: pathlib.Path) -> None:
    """Wait until files, or the entries of directories, are on the disk.

    File systems that cannot wait for a directory are left alone.

    Raises:
        OSError: A file cannot be written to the disk.
    """
    for path in paths:
        with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
