"""Tests that images with excessive sizes, damaged images and special files are rejected, fast and in little memory."""

import os
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from sagan_tf.cli.console import run_command
from sagan_tf.config import DataConfig
from sagan_tf.data.image_sets import open_square_images
from sagan_tf.data.images import skipped
from sagan_tf.data.images.limits import MAX_FILE_BYTES
from sagan_tf.data.images.preprocessing import UnreadableImageError, decode_image
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError
from tests.data.sample_folders import build_class_directories
from tests.faults.untrusted_files import claims, framed, good_images, jpeg_with_scans, serialize_record, whole_png
from tests.faults.untrusted_files import write_record_files as write_records
from tests.faults.untrusted_reader import read_in_a_child

MEGABYTES = 200
"""Limit of the increase of memory. Without limits in the package, one of the files alone takes up to 2,200 MB."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the results of a child process for a directory and record files with excessive and good images."""
    scratch = tmp_path_factory.mktemp("claims")
    build_class_directories(scratch / "images")
    for index, (name, content) in enumerate(claims().items()):
        (scratch / "images" / ("cat", "dog")[index % 2] / name).write_bytes(content)
    records = [serialize_record(content, 0, name.encode()) for name, content in (claims() | good_images()).items()]
    write_records(scratch / "records" / "one", b"".join(map(framed, records)), len(records))
    directories = {"images": scratch / "images", "records": scratch / "records", "sizes": scratch / "images"}
    return read_in_a_child(scratch, 60, **directories)


def test_excessive_images_are_reported_and_take_little_memory(answers):
    assert answers["megabytes"] < MEGABYTES
    for kind in ("images", "sizes"):
        found = answers[kind]
        assert {Path(name).name for name in found["named"]} == claims().keys() and all(found["named"].values())
        assert len(set(found["read"])) == len(found["read"]) == 12
    found = answers["records"]["sets"]["one"]
    assert {name.split("(")[1].rstrip(")") for name in found["named"]} == claims().keys()
    assert all("a.tfrecord#" in name for name in found["named"])
    assert found["error"] == "" and len(found["read"]) == len(good_images())


@pytest.mark.parametrize("name", ["warned_of.png", "warned_of.jpg", "header.png", "whole.png"])
def test_a_command_names_the_limit_of_this_package_and_prints_no_warning(name):
    """Pillow warns about the first two images and refuses the other two."""

    def main() -> int:
        with pytest.raises(UnreadableImageError, match="67 million"):
            decode_image(claims()[name], resolution=8, image_channels=1)
        return 0

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert run_command("command", main, restart=False) == 0
    assert not caught


def test_largest_allowed_image_is_read():
    decoded = decode_image(whole_png(65_535, 1024), resolution=8, image_channels=1)
    assert decoded.shape == (8, 8, 1)


@pytest.mark.parametrize("progressive", [False, True])
def test_limit_of_scans(progressive):
    assert decode_image(jpeg_with_scans(100, progressive), resolution=8, image_channels=1).shape == (8, 8, 1)
    began = time.perf_counter()
    with pytest.raises(UnreadableImageError, match="at most 100 scans"):
        decode_image(jpeg_with_scans(200_000, progressive), resolution=8, image_channels=1)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("name", good_images())
def test_format_is_detected_from_the_content(name, tmp_path):
    """A PNG file, for example, may have the suffix of a BMP file."""
    suffix = ".jpg" if name.endswith(".bmp") else ".bmp"
    (tmp_path / f"image{suffix}").write_bytes(good_images()[name])
    (example,) = open_directory(tmp_path).preview(1)
    assert example["image"].numpy().std() > 5


def open_directory(directory: Path) -> Any:
    return open_source(DataConfig(dataset="folder", data_dir=str(directory)), resolution=16, image_channels=3)


def test_files_that_are_not_images_and_special_files(tmp_path, monkeypatch):
    """All of them are reported with a reason, without waiting and in little memory."""
    monkeypatch.setattr(skipped, "MAX_SKIPPED_FRACTION", 1.0)
    build_class_directories(tmp_path)
    hostile = tmp_path / "dog"
    (hostile / "empty.png").write_bytes(b"")
    (hostile / "words.jpg").write_bytes(b"no image at all\n" * 99)
    (hostile / "half.png").write_bytes(good_images()["color.png"][:2000])
    (hostile / "tiff.jpg").write_bytes(b"II*\0" + bytes(99))
    os.mkfifo(hostile / "pipe.png")
    (hostile / "zeros.gif").symlink_to("/dev/zero")
    (hostile / "itself.jpg").symlink_to("itself.jpg")
    (hostile / "nowhere.jpg").symlink_to("nowhere")
    with (hostile / "sparse.png").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    source = open_directory(tmp_path)
    assert len(list(source.preview(100))) == 12
    names = "empty.png words.jpg half.png tiff.jpg pipe.png zeros.gif itself.jpg nowhere.jpg sparse.png"
    assert {Path(name).name for name in source.skipped.reasons} == set(names.split())
    assert all(source.skipped.reasons.values())


@pytest.mark.parametrize("kind", ["pipe", "device", "damaged"])
def test_unreadable_square_images_are_reported_by_name(kind, tmp_path):
    path = tmp_path / "a.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(good_images()["color.png"][:20])
    with pytest.raises(UserError, match=f"images: expected readable images, received {path}"):
        open_square_images(str(tmp_path))


def test_cyclic_links_between_directories(tmp_path):
    """There are two million paths of five links through these directories."""
    build_class_directories(tmp_path)
    for name in ("cat", "dog"):
        for index in range(40):
            (tmp_path / name / f"again {index}").symlink_to(tmp_path / ("deeper", "deep")[index % 2])
    for name in ("deep", "deeper"):
        (tmp_path / name).mkdir()
        for index in range(40):
            (tmp_path / name / str(index)).symlink_to(tmp_path / ("deeper", "deep")[index % 2])
    began = time.perf_counter()
    assert open_directory(tmp_path).class_names == ("cat", "dog")
    assert time.perf_counter() - began < 2
