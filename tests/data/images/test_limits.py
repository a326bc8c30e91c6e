"""How large an image, and its file, may be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sagan_tf.data.images.limits import (
    LARGEST_FILE,
    LARGEST_PIXELS,
    LARGEST_SIDE,
    UnreadableImageError,
    check_file,
    check_length,
    check_size,
    read_file,
)


@pytest.mark.parametrize(("width", "height"), [(8192, 8192), (LARGEST_SIDE, 1024), (1, LARGEST_SIDE), (0, 0)])
def test_sizes_that_may_be(width: int, height: int) -> None:
    check_size(width, height)


@pytest.mark.parametrize(("width", "height"), [(8192, 8193), (LARGEST_SIDE + 1, 1), (1, LARGEST_SIDE + 1)])
def test_sizes_that_may_not(width: int, height: int) -> None:
    with pytest.raises(UnreadableImageError) as caught:
        check_size(width, height)
    assert str(caught.value) == (
        f"expected at most 67 million pixels, and 65535 a side, received {width} x {height}; make it smaller"
    )


def test_the_largest_image_has_a_file_that_may_be() -> None:
    assert LARGEST_FILE >= 4 * LARGEST_PIXELS
    check_length(LARGEST_FILE)
    with pytest.raises(UnreadableImageError, match="at most 268,435,456 bytes, received 268,435,457"):
        check_length(LARGEST_FILE + 1)


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"content")
    (tmp_path / "link.png").symlink_to("a.png")
    assert read_file(tmp_path / "a.png") == read_file(tmp_path / "link.png") == b"content"


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UnreadableImageError, match="at most 268,435,456 bytes, received 1,099,511,627,776"):
        read_file(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_not_opened(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    {"pipe": os.mkfifo, "device": lambda link: link.symlink_to("/dev/zero"), "folder": Path.mkdir}[kind](path)
    with pytest.raises(UnreadableImageError, match="expected a file, received a folder, pipe or device"):
        check_file(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "a.png")


def test_needs_no_tensorflow() -> None:
    program = "import sys, sagan_tf.data.images.limits, sagan_tf.class_labels\nsys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])
