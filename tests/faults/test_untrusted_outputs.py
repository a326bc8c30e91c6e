"""Links that someone left where pictures and record files go: nothing is written, or removed, where they lead."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.sampling.image_archive import write_archive
from sagan_tf.sampling.image_files import PictureSet, write_pictures
from sagan_tf.visualization.png import encode_pngs
from tests.data.sample_folders import build_class_folders
from tools import prepare_imagenet
from tools.preparation.unfinished import FinishedShard, unfinished_work

SET = PictureSet("run", 0, 4, (0, 1), ("cat", "dog"), None)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of someone's own files, called as this tool calls its own."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("00000000.png", "00000001.png", "settings.json", "a.tfrecord"):
        (folder / name).write_bytes(b"my own")
    return folder


def assert_untouched(elsewhere: Path) -> None:
    assert {path.name: path.read_bytes() for path in elsewhere.iterdir()} == dict.fromkeys(
        ("00000000.png", "00000001.png", "settings.json", "a.tfrecord"), b"my own"
    )


def draw(seeds: np.ndarray, labels: np.ndarray) -> tf.Tensor:
    return encode_pngs(tf.zeros((len(seeds), 2, 2, 1), tf.uint8))


def write(folder: Path, pictures: PictureSet = SET, overwrite: bool = False) -> int:
    return write_pictures(pictures, draw, folder, part=0, parts=1, batch_size=2, overwrite=overwrite)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("weights", ["", "another"])
def test_the_folder_of_a_class_is_a_link(tmp_path: Path, elsewhere: Path, overwrite: bool, weights: str) -> None:
    """In a folder of the same pictures, and of others, which --overwrite removes."""
    output = tmp_path / "output"
    write(output)
    for path in (output / "dog").iterdir():
        path.unlink()
    (output / "dog").rmdir()
    (output / "dog").symlink_to(elsewhere)
    with pytest.raises(UserError, match="expected a folder of this tool, received .*dog, which is a link|holds others"):
        write(output, dataclasses.replace(SET, weights=weights), overwrite)
    assert_untouched(elsewhere)


def test_records_of_other_pictures_cannot_remove_them_by_a_link(tmp_path: Path, elsewhere: Path) -> None:
    output = tmp_path / "output"
    write(output)
    record = output / "seeds_0_3.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"folders": ["cat", "link"]}))
    (output / "link").symlink_to(elsewhere)
    with pytest.raises(UserError, match="link, which is a link"):
        write(output, dataclasses.replace(SET, weights="another"), overwrite=True)
    assert_untouched(elsewhere)


def test_a_picture_is_a_link(tmp_path: Path, elsewhere: Path) -> None:
    """It is replaced; where it led stays as it was."""
    output = tmp_path / "output"
    write(output)
    path = output / "cat" / "00000000.png"
    path.unlink()
    path.symlink_to(elsewhere / "00000000.png")
    assert write(output, overwrite=True) == 4
    assert not path.is_symlink() and path.stat().st_size > 60
    assert_untouched(elsewhere)


def test_a_half_written_picture_is_a_link(tmp_path: Path, elsewhere: Path) -> None:
    output = tmp_path / "output"
    write(output)
    (output / "cat" / "00000000.png.part").symlink_to(elsewhere / "00000000.png")
    with pytest.raises(UserError, match="expected to write into .*, received Too many levels of symbolic links"):
        write(output, overwrite=True)
    assert_untouched(elsewhere)


@pytest.mark.parametrize("name", ["a.npz", "a.npz.part"])
def test_an_archive_is_a_link(tmp_path: Path, elsewhere: Path, name: str) -> None:
    (tmp_path / name).symlink_to(elsewhere / "00000000.png")
    pictures = [np.zeros((1, 2, 2, 1), np.uint8)]
    write_archive(tmp_path / "a.npz", pictures, (2, 2, 1), np.zeros(1, np.int64), np.zeros(1, np.int32), ("cat",))
    assert not (tmp_path / "a.npz").is_symlink()
    assert_untouched(elsewhere)


# The preparation.


def prepare(tmp_path: Path) -> int:
    build_class_folders(tmp_path / "images")
    arguments = ["--dataset=folder", f"--data_dir={tmp_path / 'images'}", "--resolution=16", "--num_workers=1"]
    return prepare_imagenet.main([*arguments, f"--output={tmp_path / 'output'}"])


@pytest.mark.parametrize("name", ["", "files", "finished"])
def test_unfinished_work_is_a_link(
    tmp_path: Path, elsewhere: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What lies there would be taken for half-written, and removed."""
    link = tmp_path / "output" / ".train.unfinished" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    assert prepare(tmp_path) == 2
    assert f"error: --output: expected a folder of this tool, received {link}, which is a link" in (
        capsys.readouterr().err
    )
    assert_untouched(elsewhere)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "[]",
        "{",
        "{}",
        '{"index": 0}',
        {"file": "../../../elsewhere/a.tfrecord", "num_bytes": 6},
        {"file": 7},
        {"num_images": -1},
        {"num_images": "many"},
        {"class_counts": ["a", "b"]},
        {"skipped": ["a.jpg"]},
        {"index": 1},
    ],
)
def test_notes_of_shards_that_are_none(tmp_path: Path, elsewhere: Path, note: str | dict[str, object]) -> None:
    """A shard whose note is damaged, or speaks of a file elsewhere, is written again."""
    (tmp_path / "output").mkdir()
    whole = dataclasses.asdict(FinishedShard(0, "0.tfrecord", 3, 3, 2, (1, 1), {}))
    with unfinished_work(tmp_path / "output" / "train") as work:
        assert work.begin({}) == {}
        (work.files / "0.tfrecord").write_bytes(b"one")
        path = work.folder / "finished" / "0.json"
        path.write_text(json.dumps(whole))
        assert len(work.begin({})) == 1
        path.write_text(note if isinstance(note, str) else json.dumps(whole | note))
        assert work.begin({}) == {}
    assert_untouched(elsewhere)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"a"', "null", b"\xff\xfe"])
def test_settings_that_are_none(tmp_path: Path, text: str | bytes, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "output" / ".train.unfinished" / "settings.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    assert prepare(tmp_path) == 2
    assert f"error: expected the settings that unfinished work began with in {path}" in capsys.readouterr().err
