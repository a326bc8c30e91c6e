"""One rule for images: by extension, by the first bytes without one; what systems leave in directories is ignored."""

from __future__ import annotations

import logging
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from sagan_tf.data.image_sets import open_finished_images
from sagan_tf.data.images.file_names import EXTENSIONS
from sagan_tf.data.sources.folder_layout import read_folder_layout
from sagan_tf.sampling.image_files import PictureSet, write_pictures
from sagan_tf.visualization.png import encode_pngs
from tests.data.sample_folders import build_class_folders
from tools.prepare_imagenet import main as prepare_imagenet

LEFT_BY_SYSTEMS = (".DS_Store", "Thumbs.db", "desktop.ini", "._000.png", "seeds_0_11.json")
DIRECTORIES_LEFT_BY_SYSTEMS = ("@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "System Volume Information")


def leave_what_systems_leave(directory: pathlib.Path) -> None:
    for name in LEFT_BY_SYSTEMS:
        (directory / name).write_bytes(b"no image")
    for name in DIRECTORIES_LEFT_BY_SYSTEMS:
        thumbnail = directory / name / "000.png" / "SYNOPHOTO_THUMB_M.jpg"
        thumbnail.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(thumbnail)
        Image.new("RGB", (9, 9)).save(directory / name / "thumbnail.png")


@pytest.mark.parametrize("extension", [*EXTENSIONS, *map(str.upper, EXTENSIONS)])
def test_extensions_are_images_whatever_is_in_them(extension: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / f"a{extension}").touch()
    assert read_folder_layout(str(tmp_path)).paths == (f"a{extension}",)


def test_files_without_an_extension_are_what_their_first_bytes_say(tmp_path: pathlib.Path) -> None:
    formats = ("JPEG", "PNG", "WEBP", "GIF")
    for name in formats:
        Image.new("RGB", (8, 8)).save(tmp_path / f"n01440764_{name}", format=name)
    Image.new("RGB", (8, 8)).save(tmp_path / "JPEG.", format="JPEG")
    Image.new("RGB", (8, 8)).save(tmp_path / "image.dat", format="PNG")
    (tmp_path / "LICENSE").write_text("BMP, RIFF and WEBP")
    (tmp_path / "empty").touch()
    (tmp_path / "nowhere").symlink_to("gone")
    os.mkfifo(tmp_path / "pipe")
    layout = read_folder_layout(str(tmp_path))
    assert layout.paths == tuple(sorted(["JPEG.", *(f"n01440764_{name}" for name in formats)]))


def test_what_systems_leave_is_ignored_without_a_word(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    build_class_folders(tmp_path)
    for directory in (tmp_path, tmp_path / "cat"):
        leave_what_systems_leave(directory)
    with caplog.at_level(logging.INFO, "sagan_tf"):
        layout = read_folder_layout(str(tmp_path))
    assert (layout.class_names, len(layout.paths), caplog.messages) == (("cat", "dog"), 12, [])


def test_the_directory_of_a_sample_is_an_image_set_and_may_hold_them(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    leave_what_systems_leave(tmp_path)
    (tmp_path / "seeds_0_11.json").unlink()
    images = PictureSet("a run", 0, 3, (0,), (), None)
    written = write_pictures(
        images,
        lambda seeds, labels: encode_pngs(np.zeros((len(seeds), 8, 8, 1), np.uint8)),
        tmp_path,
        part=0,
        parts=1,
        batch_size=2,
        overwrite=False,
    )
    with caplog.at_level(logging.INFO, "sagan_tf"):
        assert open_finished_images(str(tmp_path)).num_examples == written == 3
    assert caplog.messages == []


def test_preparation_takes_the_same_files(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_class_folders(tmp_path / "images", images_per_class=2)
    (tmp_path / "images" / "cat" / "000.png").rename(tmp_path / "images" / "cat" / "n01440764_0")
    leave_what_systems_leave(tmp_path / "images")
    arguments = ["--dataset=folder", f"--data_dir={tmp_path / 'images'}", "--resolution=8", "--num_workers=1"]
    assert prepare_imagenet([*arguments, f"--output={tmp_path / 'prepared'}"]) == 0
    assert "4 images of 2 classes" in capsys.readouterr().out
