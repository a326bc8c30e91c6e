"""Small disks that fill up: tmpfs, which only root can mount."""

import contextlib
import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest


class Disk:
    """A tmpfs that is mounted at `path`."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def fill(self, leave: int = 0) -> None:
        """Fill the disk, except some bytes: a multiple of the page size of 4 KiB."""
        system = os.statvfs(self.path)
        (self.path / "other files").write_bytes(b"\0" * (system.f_bavail * system.f_frsize - leave))

    def make_room(self) -> None:
        """Free space, as if a user had deleted other files or enlarged the disk."""
        (self.path / "other files").unlink(missing_ok=True)
        self._remount("size=64m")

    def make_readable_only(self) -> None:
        """Mount the disk read-only, as systems do after an error of the disk."""
        self._remount("ro")

    def _remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)


@contextlib.contextmanager
def small_disk(path: pathlib.Path, kilobytes: int) -> Iterator[Disk]:
    """Create a directory and mount a small disk over it; skip the test if that is not possible."""
    path.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root can mount a tmpfs, on Linux")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", str(path)], check=True)
