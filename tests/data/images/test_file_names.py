"""Images are found by extension, or else by their first bytes; the files of operating systems are ignored."""

import logging
import os
import pathlib

import pytest
from PIL import Image

from sagan_tf.data.images.file_names import EXTENSIONS
from tests.data.sample_folders import build_class_directories, read_directory_layout

SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini", "._000.png", "seeds_0_11.json")
SYSTEM_DIRECTORIES = ("@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "System Volume Information")


def write_system_files(directory: pathlib.Path) -> None:
    for name in SYSTEM_FILES:
        (directory / name).write_bytes(b"no image")
    for name in SYSTEM_DIRECTORIES:
        thumbnail = directory / name / "000.png" / "SYNOPHOTO_THUMB_M.jpg"
        thumbnail.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(thumbnail)
        Image.new("RGB", (9, 9)).save(directory / name / "thumbnail.png")


@pytest.mark.parametrize("extension", [*EXTENSIONS, *map(str.upper, EXTENSIONS)])
def test_files_with_image_extensions_are_images(extension: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / f"a{extension}").touch()
    assert read_directory_layout(str(tmp_path)).paths == (f"a{extension}",)


def test_files_without_extension_are_identified_by_their_first_bytes(tmp_path: pathlib.Path) -> None:
    formats = ("JPEG", "PNG", "WEBP", "GIF")
    for name in formats:
        Image.new("RGB", (8, 8)).save(tmp_path / f"n01440764_{name}", format=name)
    Image.new("RGB", (8, 8)).save(tmp_path / "JPEG.", format="JPEG")
    Image.new("RGB", (8, 8)).save(tmp_path / "image.dat", format="PNG")
    (tmp_path / "LICENSE").write_text("BMP, RIFF and WEBP")
    (tmp_path / "empty").touch()
    (tmp_path / "nowhere").symlink_to("gone")
    os.mkfifo(tmp_path / "pipe")
    layout = read_directory_layout(str(tmp_path))
    assert layout.paths == tuple(sorted(["JPEG.", *(f"n01440764_{name}" for name in formats)]))


def test_system_files_are_ignored_without_a_log_line(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    build_class_directories(tmp_path)
    for directory in (tmp_path, tmp_path / "cat"):
        write_system_files(directory)
    with caplog.at_level(logging.INFO, "sagan_tf"):
        layout = read_directory_layout(str(tmp_path))
    assert (layout.class_names, len(layout.paths), caplog.messages) == (("cat", "dog"), 12, [])
