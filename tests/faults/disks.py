"""Disks so small that they fill up: tmpfs, which takes root to mount."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest


class Disk:
    """A mounted tmpfs.

    Attributes:
        path: where.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def fill(self, leave: int = 0) -> None:
        """Leaves so many bytes: whole pages of 4 KiB."""
        system = os.statvfs(self.path)
        (self.path / "other files").write_bytes(b"\0" * (system.f_bavail * system.f_frsize - leave))

    def make_room(self) -> None:
        """As if somebody had removed other files, or given it more space."""
        (self.path / "other files").unlink(missing_ok=True)
        self._remount("size=64m")

    def make_readable_only(self) -> None:
        """As systems do with a disk in which they found an error."""
        self._remount("ro")

    def _remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)


@contextlib.contextmanager
def small_disk(path: pathlib.Path, kilobytes: int) -> Iterator[Disk]:
    """Mounts one over a folder, which is made; skips the test where that cannot be done."""
    path.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk takes the right to mount a tmpfs: root, on Linux")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", str(path)], check=True)
