"""The limits on the size of an image and of its file."""

import subprocess
import sys
from pathlib import Path

import pytest

from sagan_tf.data.images.limits import (
    MAX_FILE_BYTES,
    MAX_PIXELS,
    MAX_SIDE_PIXELS,
    UnreadableImageError,
    check_file_bytes,
    check_size,
    read_file,
)


@pytest.mark.parametrize(("width", "height"), [(8192, 8192), (MAX_SIDE_PIXELS, 1024), (1, MAX_SIDE_PIXELS), (0, 0)])
def test_accepts_sizes_up_to_the_limits(width: int, height: int) -> None:
    check_size(width, height)


@pytest.mark.parametrize(("width", "height"), [(8192, 8193), (MAX_SIDE_PIXELS + 1, 1), (1, MAX_SIDE_PIXELS + 1)])
def test_rejects_sizes_above_the_limits(width: int, height: int) -> None:
    with pytest.raises(UnreadableImageError, match=f"{width} x {height}"):
        check_size(width, height)


def test_reads_files_and_links(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"content")
    (tmp_path / "link.png").symlink_to("a.png")
    assert read_file(tmp_path / "a.png") == read_file(tmp_path / "link.png") == b"content"


def test_rejects_a_file_that_is_too_large(tmp_path: Path) -> None:
    check_file_bytes(MAX_FILE_BYTES)
    assert MAX_FILE_BYTES >= 4 * MAX_PIXELS
    for size in (MAX_FILE_BYTES + 1, 2**40):
        with (tmp_path / "a.png").open("wb") as file:
            file.truncate(size)
        with pytest.raises(UnreadableImageError, match=f"{size:,}"):
            read_file(tmp_path / "a.png")


def test_imports_no_tensorflow() -> None:
    program = "import sys, sagan_tf.data.images.limits, sagan_tf.class_labels\nsys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])
