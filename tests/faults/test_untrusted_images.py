"""Images that claim too much, are damaged or are no files at all: refused in time, in little memory, and named."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.image_sets import open_finished_images
from sagan_tf.data.images import skipped
from sagan_tf.data.images.limits import LARGEST_FILE
from sagan_tf.data.images.preprocessing import UnreadableImageError, decode_image
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError
from tests.data.sample_folders import build_class_folders
from tests.faults.untrusted_files import claims, framed, good_images, jpeg_with_scans, serialize_record, whole_png
from tests.faults.untrusted_files import write_record_files as write_records
from tests.faults.untrusted_reader import read_in_a_child

MEGABYTES = 200
"""That memory may rise by; without limits a single one of the files takes up to 2,200."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a child makes of a folder and of record files with images that claim too much between good ones."""
    scratch = tmp_path_factory.mktemp("claims")
    build_class_folders(scratch / "images")
    for index, (name, content) in enumerate(claims().items()):
        (scratch / "images" / ("cat", "dog")[index % 2] / name).write_bytes(content)
    records = [serialize_record(content, 0, name.encode()) for name, content in (claims() | good_images()).items()]
    write_records(scratch / "records" / "one", b"".join(map(framed, records)), len(records))
    folders = {"images": scratch / "images", "records": scratch / "records", "sizes": scratch / "images"}
    return read_in_a_child(scratch, 60, **folders)


def test_claims_take_no_memory(answers: dict[str, Any]) -> None:
    assert answers["megabytes"] < MEGABYTES


def test_a_folders_claims_are_named_and_the_rest_is_read(answers: dict[str, Any]) -> None:
    found = answers["images"]
    assert {Path(name).name for name in found["named"]} == claims().keys()
    assert len(set(found["read"])) == len(found["read"]) == 12
    for name, reason in found["named"].items():
        assert any(words in reason for words in ("67 million pixels", "exceeds limit", "100 scans")), (name, reason)


def test_claims_in_records_are_named_and_the_rest_is_read(answers: dict[str, Any]) -> None:
    found = answers["records"]["sets"]["one"]
    assert found["error"] == ""
    assert {name.split("(")[1].rstrip(")") for name in found["named"]} == claims().keys()
    assert all("a.tfrecord#" in name for name in found["named"])
    assert len(found["read"]) == len(good_images())


def test_evaluation_refuses_them_when_it_looks_at_their_sizes(answers: dict[str, Any]) -> None:
    found = answers["sizes"]
    named = {Path(name).name for name in found["named"]}
    assert named == claims().keys()
    assert len(named) + len(found["read"]) == found["given"]


def test_what_is_just_small_enough_is_read() -> None:
    decoded = decode_image(whole_png(65_535, 1024), resolution=8, image_channels=1)
    assert decoded.shape == (8, 8, 1)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_hundred_scans_are_read_and_more_are_not(progressive: bool) -> None:
    assert decode_image(jpeg_with_scans(100, progressive), resolution=8, image_channels=1).shape == (8, 8, 1)
    began = time.perf_counter()
    with pytest.raises(UnreadableImageError, match="at most 100 scans"):
        decode_image(jpeg_with_scans(200_000, progressive), resolution=8, image_channels=1)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("name", good_images())
@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_the_content_says_what_an_image_is(name: str, suffix: str, tmp_path: Path) -> None:
    """A PNG that is called a JPEG, and so on."""
    (tmp_path / f"image{suffix}").write_bytes(good_images()[name])
    (example,) = open_folder(tmp_path).preview(1)
    assert example["image"].numpy().std() > 5


def open_folder(folder: Path) -> Any:
    return open_source(DataConfig(dataset="folder", data_dir=str(folder)), resolution=16, image_channels=3)


def test_what_is_no_image_and_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is waited for, none fills the memory, each is named with a reason."""
    monkeypatch.setattr(skipped, "LARGEST_FRACTION", 1.0)
    build_class_folders(tmp_path)
    hostile = tmp_path / "dog"
    expected = {
        "empty.png": "cannot identify",
        "words.jpg": "cannot identify",
        "half.png": "OSError: image file is truncated",
        "tiff.jpg": "cannot identify",
        "pipe.png": "received a folder, pipe or device",
        "zeros.gif": "received a folder, pipe or device",
        "itself.jpg": "Too many levels of symbolic links",
        "nowhere.jpg": "No such file or directory",
        "sparse.png": f"at most {LARGEST_FILE:,} bytes, received {LARGEST_FILE + 1:,}",
    }
    (hostile / "empty.png").write_bytes(b"")
    (hostile / "words.jpg").write_bytes(b"no image at all\n" * 99)
    (hostile / "half.png").write_bytes(good_images()["colour.png"][:2000])
    (hostile / "tiff.jpg").write_bytes(b"II*\0" + bytes(99))
    os.mkfifo(hostile / "pipe.png")
    (hostile / "zeros.gif").symlink_to("/dev/zero")
    (hostile / "itself.jpg").symlink_to("itself.jpg")
    (hostile / "nowhere.jpg").symlink_to("nowhere")
    with (hostile / "sparse.png").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    source = open_folder(tmp_path)
    assert len(list(source.preview(100))) == 12
    reasons = {Path(name).name: reason for name, reason in source.skipped.reasons.items()}
    assert reasons.keys() == expected.keys()
    assert [name for name in expected if expected[name] not in reasons[name]] == []


@pytest.mark.parametrize("kind", ["pipe", "device", "damaged"])
def test_finished_images_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(good_images()["colour.png"][:20])
    with pytest.raises(UserError, match=f"images: expected readable images, received {path}"):
        open_finished_images(str(tmp_path))


def test_folders_that_lead_in_circles(tmp_path: Path) -> None:
    """Forty links to the top in each of two folders: two million ways through the folders, five steps down."""
    build_class_folders(tmp_path)
    for name in ("cat", "dog"):
        for index in range(40):
            (tmp_path / name / f"again {index}").symlink_to(tmp_path / ("deeper", "deep")[index % 2])
    for name in ("deep", "deeper"):
        (tmp_path / name).mkdir()
        for index in range(40):
            (tmp_path / name / str(index)).symlink_to(tmp_path / ("deeper", "deep")[index % 2])
    began = time.perf_counter()
    assert open_folder(tmp_path).class_names == ("cat", "dog")
    assert time.perf_counter() - began < 2
