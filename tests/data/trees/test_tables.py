"""Tables of labels in the root of a directory or an archive."""

import json
import logging
import os
import unittest.mock
import zipfile
from pathlib import Path

import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.folder_layout import DirectoryLayout
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError
from tests.data.sample_folders import read_directory_layout, write_image

PATHS = ("a.png", "00/b.png", "00/c é.png", "d.png")
LABELS = ("dog", "cat, small", "dog", "cat, small")


def write_csv(column: str) -> str:
    rows = [f'"{path}","{label}"' for path, label in zip(PATHS, LABELS, strict=True)]
    return "\r\n".join([f"width,{column},label", *(f"8,{row}" for row in rows)])


def build(directory: Path, name: str = "", content: str = "") -> Path:
    for index, path in enumerate(PATHS):
        write_image(directory / path, (index, 0, 0))
    if name:
        (directory / name).write_bytes(content.encode())
    return directory


def describe(layout: DirectoryLayout) -> dict[str, str]:
    return {path: layout.class_names[label] for path, label in zip(layout.paths, layout.labels, strict=True)}


TABLES = {
    "labels.csv": "\ufeff" + write_csv("file"),
    "metadata.csv": write_csv("file_name"),
    "metadata.jsonl": "\n".join(json.dumps({"file_name": p, "label": n}) for p, n in zip(PATHS, LABELS, strict=True)),
    "dataset.json": json.dumps({"labels": [[f"./{p}", n] for p, n in zip(PATHS, LABELS, strict=True)]}),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("packed", [False, True])
def test_every_table_gives_the_same_classes(tmp_path: Path, name: str, packed: bool) -> None:
    directory = build(tmp_path / "images", name, TABLES[name])
    if packed:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for path in directory.rglob("*.*"):
                archive.write(path, path.relative_to(tmp_path))
        directory = tmp_path / "a.zip"
    layout = read_directory_layout(str(directory))
    assert describe(layout) == dict(zip(PATHS, LABELS, strict=True)) and layout.class_names == ("cat, small", "dog")
    source = open_source(DataConfig(dataset="folder", data_dir=str(directory)), resolution=8, image_channels=3)
    colors = {(int(e["image"][0, 0, 0]), source.class_names[e["label"]]) for e in source.preview(4).as_numpy_iterator()}
    assert colors == set(enumerate(LABELS))


def test_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    """An archive of StyleGAN's dataset tool has its images in numbered directories, and may have gaps in its labels."""
    labels = dict(zip(PATHS, (10, 9, 2, 10), strict=True))
    layout = read_directory_layout(
        str(build(tmp_path, "dataset.json", json.dumps({"labels": [[path, label] for path, label in labels.items()]})))
    )
    assert layout.class_names == ("2", "9", "10")
    assert describe(layout) == {path: str(label) for path, label in labels.items()}


def test_images_that_are_not_listed_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(tmp_path, "labels.csv", "file,label\nd.png,x\na.png,y\n")
    assert read_directory_layout(str(tmp_path)).paths == ("d.png", "a.png")
    assert "left out 2 images" in caplog.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", "file_name,text\na.png,a cat\n"),
        ("metadata.jsonl", '{"file_name": "a.png", "text": "a cat"}'),
        ("dataset.json", '{"labels": null}'),
        ("dataset.json", '{"format": "sagan_tf.tfrecord.1"}'),
    ],
)
def test_other_files_of_these_names_are_not_tables(tmp_path: Path, name: str, content: str) -> None:
    for path in ("cat/1.png", "dog/1.png"):
        write_image(tmp_path / path, (0, 0, 0))
    (tmp_path / name).write_text(content)
    assert read_directory_layout(str(tmp_path)).class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("name", "content", "received"),
    [
        ("labels.csv", "file,label\na.png,x\nz.png,x\n", "z.png"),
        ("labels.csv", "file,label\na.png,x\n../../a.png,x\n", "../../a.png"),
        ("labels.csv", "file,label\na.png,x\n./a.png,y\n", "./a.png"),
        ("labels.csv", "file,label\na.png,x\nd.png,\n", "row 2"),
        ("labels.csv", "file,label\na.png\n", "row 1"),
        ("labels.csv", "file,label\na.png,x\nd.png,crane, bird\n", "row 2"),
        ("metadata.csv", "file_name,label\na.png,crane, bird\n", "quotation marks"),
        ("labels.csv", 'file,label\n"a.png,x\n', "labels.csv"),
        ("labels.csv", "file,label\n", "labels.csv"),
        ("dataset.json", '{"labels": [["a.png", [0, 1]]]}', "[0, 1]"),
        ("dataset.json", '{"labels": [["a.png", 0.5]]}', "0.5"),
        ("dataset.json", '{"labels": [["a.png", true]]}', "True"),
        ("dataset.json", '{"labels": [["a.png", -1]]}', "-1"),
        ("metadata.csv", "file_name,label\na.png,-1\n", "'-1'"),
        ("labels.csv", "path,class\na.png,x\n", "path, class"),
        ("labels.csv", "", "none"),
        ("dataset.json", '{"labels": [["a.png"]]}', "labels"),
        ("dataset.json", '{"labels": {"a.png": 1}}', "labels"),
        ("dataset.json", '{"labels": [[', "dataset.json"),
        ("dataset.json", "[" * 100_000, "dataset.json"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": "x"}\n{"label": "x"}', "row 2"),
        ("metadata.jsonl", '{"file_name": "a.png", "label": "x"}\n3', "metadata.jsonl"),
    ],
)
def test_damaged_tables(tmp_path: Path, name: str, content: str, received: str) -> None:
    build(tmp_path, name, content)
    with pytest.raises(UserError) as caught:
        read_directory_layout(str(tmp_path))
    message = str(caught.value)
    assert message.startswith("data_dir: ") and name in message and received in message and "\n" not in message


def test_images_that_have_no_labels(tmp_path: Path) -> None:
    """StyleGAN's tool writes null, and directories of 1,000 images, which are not classes."""
    paths = ["00000/img00000000.png", "00001/img00001000.png"]
    for path in paths:
        write_image(tmp_path / path, (0, 0, 0))
    (tmp_path / "dataset.json").write_text('{"labels": null}')
    layout = read_directory_layout(str(tmp_path))
    assert sorted(layout.paths) == paths and layout.class_names == () and not layout.labels.any()


def test_digest_is_of_the_labels_too(tmp_path: Path) -> None:
    """The order of the paths is the same in all of these tables."""
    build(tmp_path)
    digests = set()
    for labels in ("xxyy", "xyyy", "xxyz", "vvww"):
        paths = sorted(PATHS)
        (tmp_path / "labels.csv").write_text("\n".join(["file,label", *map(",".join, zip(paths, labels, strict=True))]))
        config = DataConfig(dataset="folder", data_dir=str(tmp_path), classes=("y", "x") if labels == "xyyy" else ())
        digests.add(open_source(config, resolution=8, image_channels=3).digest())
    assert len(digests) == 4


def test_a_json_string_with_a_line_separator(tmp_path: Path) -> None:
    rows = [json.dumps({"file_name": path, "label": "a", "text": "b\u2028c"}, ensure_ascii=False) for path in PATHS]
    build(tmp_path, "metadata.jsonl", "\r\n".join(rows))
    assert read_directory_layout(str(tmp_path)).class_names == ("a",)


def test_a_table_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path, "labels.csv", TABLES["labels.csv"])
    denied = unittest.mock.Mock(side_effect=PermissionError(13, "Permission denied"))
    monkeypatch.setattr("sagan_tf.data.trees.directory_tree.read_file", denied)
    with pytest.raises(UserError, match="^data_dir: .*labels.csv: Permission denied$"):
        read_directory_layout(str(tmp_path))


def test_other_files_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(tmp_path, "labels.csv", TABLES["labels.csv"])
    (tmp_path / "00" / "notes.txt").touch()
    with caplog.at_level(logging.INFO, "sagan_tf"):
        read_directory_layout(str(tmp_path))
    assert f"{tmp_path}: ignored 1 files that are not images" in caplog.messages


def test_two_tables(tmp_path: Path) -> None:
    build(tmp_path, "labels.csv", TABLES["labels.csv"])
    os.link(tmp_path / "labels.csv", tmp_path / "metadata.csv")
    with pytest.raises(UserError, match="labels.csv and metadata.csv"):
        read_directory_layout(str(tmp_path))


def test_a_table_that_is_not_text(tmp_path: Path) -> None:
    build(tmp_path)
    (tmp_path / "labels.csv").write_bytes(b"file,label\n\xff.png,x")
    with pytest.raises(UserError, match="labels.csv is not text"):
        read_directory_layout(str(tmp_path))
