"""Tests of links in output directories: nothing is written or removed at their targets."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.sampling.image_archive import write_archive
from sagan_tf.sampling.image_files import write_images
from sagan_tf.sampling.image_set import ImageSet
from tests.data.sample_folders import build_class_directories
from tests.sampling.gray_images import draw
from tests.tools.preparation.prepare_folder import prepare_folder
from tools.preparation.unfinished import FinishedShard, lock_unfinished_work

SET = ImageSet("run", 0, 4, (0, 1), ("cat", "dog"), None)


USER_FILES = ("00000000.png", "00000001.png", "settings.json", "a.tfrecord")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Create a directory of a user's files, whose names are those of this package's own files."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    for name in USER_FILES:
        (directory / name).write_bytes(b"unchanged")
    return directory


def assert_untouched(elsewhere: Path) -> None:
    found = {path.name: path.read_bytes() for path in elsewhere.iterdir()}
    assert found == dict.fromkeys(USER_FILES, b"unchanged")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Create a directory of four written images."""
    write(tmp_path / "output")
    return tmp_path / "output"


def write(directory: Path, image_set: ImageSet = SET, overwrite: bool = False) -> int:
    return write_images(image_set, draw, directory, shard=0, num_shards=1, batch_size=2, overwrite=overwrite)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("weights", ["", "another"])
def test_link_in_place_of_a_class_directory(output, elsewhere, overwrite, weights):
    """The output may have the same images, or images of other weights, which --overwrite removes."""
    for path in (output / "dog").iterdir():
        path.unlink()
    (output / "dog").rmdir()
    (output / "dog").symlink_to(elsewhere)
    with pytest.raises(UserError, match="^output: .*dog, which is a link|^output: .*different set"):
        write(output, dataclasses.replace(SET, weights=weights), overwrite)
    assert_untouched(elsewhere)


def test_link_in_the_record_of_other_images(output, elsewhere):
    record = output / "seeds_0_3.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"folders": ["cat", "link"]}))
    (output / "link").symlink_to(elsewhere)
    with pytest.raises(UserError, match="link, which is a link"):
        write(output, dataclasses.replace(SET, weights="another"), overwrite=True)
    assert_untouched(elsewhere)


def test_link_in_place_of_an_image(output, elsewhere):
    path = output / "cat" / "00000000.png"
    path.unlink()
    path.symlink_to(elsewhere / "00000000.png")
    assert write(output, overwrite=True) == 4
    assert not path.is_symlink() and path.stat().st_size > 60
    assert_untouched(elsewhere)


def test_link_in_place_of_a_half_written_image(output, elsewhere):
    (output / "cat" / "00000000.png.part").symlink_to(elsewhere / "00000000.png")
    with pytest.raises(UserError, match="^output: .*Too many levels of symbolic links"):
        write(output, overwrite=True)
    assert_untouched(elsewhere)


@pytest.mark.parametrize("name", ["a.npz", "a.npz.part"])
def test_link_in_place_of_an_archive(tmp_path, elsewhere, name):
    (tmp_path / name).symlink_to(elsewhere / "00000000.png")
    images: list[np.ndarray] = [np.zeros((1, 2, 2, 1), np.uint8)]
    write_archive(tmp_path / "a.npz", images, (2, 2, 1), np.zeros(1, np.int64), np.zeros(1, np.int32), ("cat",))
    assert not (tmp_path / "a.npz").is_symlink()
    assert_untouched(elsewhere)


@pytest.mark.parametrize("name", ["", "files", "finished"])
def test_link_in_place_of_unfinished_work(tmp_path, elsewhere, name, capsys):
    """Without a check, the target's files would be removed as half-written files."""
    link = tmp_path / "output" / ".train.unfinished" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    build_class_directories(tmp_path / "images")
    assert prepare_folder(tmp_path / "images", tmp_path / "output") == 2
    assert f"error: output: {link} is a symbolic link" in capsys.readouterr().err
    assert_untouched(elsewhere)


OTHER_FILE = {"file": "../../../elsewhere/a.tfrecord", "num_bytes": 6}
WRONG_TYPES = [{"file": 7}, {"num_images": -1}, {"num_images": "many"}, {"class_counts": ["a"]}, {"skipped": ["a.jpg"]}]


@pytest.mark.parametrize("note", ["", "[]", "{", "{}", '{"index": 0}', {"index": 1}, OTHER_FILE, *WRONG_TYPES])
def test_invalid_notes_of_shards(tmp_path, elsewhere, note):
    """A shard is written again if its note is damaged or names a file in another directory."""
    (tmp_path / "output").mkdir()
    whole = dataclasses.asdict(FinishedShard(0, "0.tfrecord", 3, 3, 2, (1, 1), {}))
    with lock_unfinished_work(tmp_path / "output" / "train") as work:
        assert work.begin({}) == {}
        (work.files / "0.tfrecord").write_bytes(b"one")
        path = work.directory / "finished" / "0.json"
        path.write_text(json.dumps(whole))
        assert len(work.begin({})) == 1
        path.write_text(note if isinstance(note, str) else json.dumps(whole | note))
        assert work.begin({}) == {}
    assert_untouched(elsewhere)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"a"', "null", b"\xff\xfe"])
def test_invalid_settings(tmp_path, text, capsys):
    path = tmp_path / "output" / ".train.unfinished" / "settings.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    build_class_directories(tmp_path / "images")
    assert prepare_folder(tmp_path / "images", tmp_path / "output") == 2
    assert f"error: output: {path}" in capsys.readouterr().err
