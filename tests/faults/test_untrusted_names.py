"""Tests of hostile class and file names: paths, lines of a log and terminal escapes."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.tfrecord import serialize_record
from sagan_tf.errors import UserError
from sagan_tf.log import log_to_console
from sagan_tf.sampling.image_archive import write_archive
from sagan_tf.sampling.image_files import write_images
from sagan_tf.sampling.image_set import ImageSet, choose_class_directories
from sagan_tf.visualization.image_grid import draw_image_sheet
from tests.data.sample_folders import build_class_directories, write_image
from tests.faults.untrusted_files import framed, good_records, write_record_files
from tests.sampling.gray_images import draw
from tests.tools.preparation.prepare_folder import prepare_folder

PATHS = (
    "..",
    "../up",
    "/etc",
    "a/b",
    "a\\b",
    ".hidden",
    "~",
    "-rf",
    "C:",
    "nul",
    "con.txt",
    "a.",
    " ",
    "seeds_1_2.json",
)
COMMANDS = ("a\nerror: b", "a\rb", "\x1b[2Ja", "\x9b2Ja", "a\0b", "a\u2028b", "x" * 256)
ODD = ("猫", "\u202egnp", "caf\udce9", "<b>&amp;", "%s%n", "{0}", "$(date)", "x" * 255)


@pytest.mark.parametrize("name", PATHS + COMMANDS + ODD)
def test_images_are_written_only_below_the_output(name, tmp_path):
    """The class names may come from an untrusted run or model."""
    output = tmp_path / "deep" / "output"
    names = ("cat", name)
    image_set = ImageSet("run", 0, 6, (0, 1), choose_class_directories(2, names), None)

    assert write_images(image_set, draw, output, shard=0, num_shards=1, batch_size=2, overwrite=False) == 6
    write_archive(tmp_path / "a.npz", [np.zeros((1, 2, 2, 1), np.uint8)], (2, 2, 1), np.zeros(1), np.zeros(1), names)
    written = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert written - {Path("a.npz")} == {path.relative_to(tmp_path) for path in output.rglob("*") if path.is_file()}
    assert len([path for path in written if path.suffix == ".png"]) == 6
    assert all(len(path.parent.parent.name) for path in output.glob("*/*"))


@pytest.mark.parametrize("name", PATHS + COMMANDS + ODD)
def test_sheets_show_the_names(name):
    images: np.ndarray = np.zeros((2, 8, 8, 1), np.uint8)
    assert draw_image_sheet(images, 1, row_names=("cat", name)).height > 16
    assert draw_image_sheet(images, 2, column_names=("cat", name), captions=("cat", name)).width > 16


@pytest.mark.parametrize("name", ["a\nerror: b", "\x1b[2Ja", "a\u2028b"])
def test_directory_names_with_control_characters_are_an_error_of_one_line(name, tmp_path):
    build_class_directories(tmp_path, ("cat", name))
    with pytest.raises(UserError, match="rename the class") as caught:
        open_source(DataConfig(dataset="folder", data_dir=str(tmp_path)), resolution=8, image_channels=3)
    assert str(caught.value).isprintable()


def test_names_of_files_and_directories_are_escaped_in_the_log(tmp_path, capsys):
    build_class_directories(tmp_path, images_per_class=150)
    (tmp_path / "empty\nerror: folder").mkdir()
    for name in ("\x1b[2J.png", "a\nerror: file.png", os.fsdecode(b"\xe9.png")):
        (tmp_path / "cat" / name).write_bytes(b"no image")
    logger = logging.getLogger("sagan_tf")
    before = (logger.handlers, logger.level, logger.propagate)
    log_to_console()
    try:
        source = open_source(DataConfig(dataset="folder", data_dir=str(tmp_path)), resolution=8, image_channels=3)
        assert len(list(source.preview(400))) == 300
        logger.info("\x1b[2J\r\x9b")
    finally:
        logger.handlers, logger.level, logger.propagate = before
    lines = capsys.readouterr().out.splitlines()
    assert lines.pop() == r"\x1b[2J\x0d\x9b"
    assert len(lines) == 4 and all(line.isprintable() for line in lines)
    for name in (r"empty\nerror: folder", r"\x1b[2J.png", r"a\nerror: file.png", r"\udce9.png"):
        assert sum(name in line for line in lines) == 1


def test_names_in_records_are_escaped(tmp_path):
    hostile = framed(serialize_record(b"no image", 0, b"\x1b[2J\n0\xff"))
    write_record_files(tmp_path, hostile + framed(good_records()[1]) * 199, count=200)
    source = open_source(DataConfig(dataset="tfrecord", data_dir=str(tmp_path)), resolution=16, image_channels=3)
    assert len(list(source.preview(200))) == 199
    assert source.skipped.names == (rf"{tmp_path}/train/a.tfrecord#0 (\x1b[2J\n0\udcff)",)


@pytest.mark.parametrize("split", ["", ".", "..", "../train", "/tmp/train", "a/b"])
def test_split_must_be_a_directory_name(split, tmp_path, capsys):
    build_class_directories(tmp_path / "images")
    assert prepare_folder(tmp_path / "images", tmp_path / "output", f"--split={split}") == 2
    error = capsys.readouterr().err
    assert "split: " in error and f"received {split!r}" in error
    assert not (tmp_path / "output").exists()


def test_class_names_that_are_not_text_can_be_prepared(tmp_path):
    """Python decodes these bytes as surrogates, which no encoding can write."""
    names = (os.fsdecode(b"caf\xe9"), "tea")
    build_class_directories(tmp_path / "images", names, images_per_class=2)
    write_image(tmp_path / "images" / "tea" / os.fsdecode(b"\xff.png"), (1, 2, 3))
    assert prepare_folder(tmp_path / "images", tmp_path / "output") == 0
    config = DataConfig(dataset="tfrecord", data_dir=str(tmp_path / "output"))
    source = open_source(config, resolution=16, image_channels=3)
    assert source.class_names == names
    written = {os.fsdecode(example["name"]).split("/")[-1] for example in source.preview(9).as_numpy_iterator()}
    assert written == {"000.png)", "001.png)", "\udcff.png)"}


@pytest.mark.parametrize("name", ["../../a.tfrecord", "/etc/passwd", "..", "a/b", ""])
def test_metadata_cannot_name_files_in_other_directories(name, tmp_path):
    path = write_record_files(tmp_path, b"".join(map(framed, good_records()))).with_name("dataset.json")
    metadata: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps(metadata | {"files": [[name, 6]]}))
    with pytest.raises(UserError, match="files in other directories"):
        open_source(DataConfig(dataset="tfrecord", data_dir=str(tmp_path)), resolution=16, image_channels=3)
