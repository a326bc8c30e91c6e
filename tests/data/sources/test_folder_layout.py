"""Directories as users have them: layouts that are accepted, and errors for all others."""

import contextlib
import logging
import os
import shlex
import shutil
import unittest.mock
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sagan_tf.data.image_sets import open_square_images
from sagan_tf.data.sources.folder_layout import read_layout
from sagan_tf.data.trees.directory_tree import DirectoryTree
from sagan_tf.data.trees.layout_error import LayoutError
from sagan_tf.data.trees.open_tree import open_tree
from sagan_tf.errors import UserError
from sagan_tf.text import normalize_names
from tests.data.sample_folders import build_class_directories, read_directory_layout, write_image

RED = (255, 0, 0)


def read_error(data_dir: Path | str) -> str:
    with pytest.raises(UserError) as caught:
        read_directory_layout(str(data_dir))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_class_directories_are_sorted_by_name(tmp_path: Path) -> None:
    build_class_directories(tmp_path, ("zebra", "Ähre", "猫", "apple tree"), images_per_class=2)
    layout = read_directory_layout(str(tmp_path))
    assert layout.class_names == ("apple tree", "zebra", "Ähre", "猫")
    assert layout.paths[:3] == ("apple tree/000.png", "apple tree/001.png", "zebra/000.png")
    np.testing.assert_array_equal(layout.labels, [0, 0, 1, 1, 2, 2, 3, 3])
    assert layout.labels.dtype == np.int32


def test_order_does_not_depend_on_the_unicode_form_of_names(tmp_path: Path) -> None:
    for system, cafe in (("linux", "caf\u00e9"), ("macos", "cafe\u0301")):
        for name in ("cafz", cafe):
            (tmp_path / system / name).mkdir(parents=True)
            for image in ("b.png", f"{cafe}.png", "cafz.png"):
                write_image(tmp_path / system / name / image, (0, 0, 0))
    linux, macos = (read_directory_layout(str(tmp_path / system)) for system in ("linux", "macos"))
    assert linux.class_names == ("cafz", "caf\u00e9") and macos.class_names == ("cafz", "cafe\u0301")
    assert normalize_names(macos.paths) == linux.paths


def test_names_with_equal_nfc_forms_have_a_fixed_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("cafe\u0301.png", "caf\u00e9.png")
    for name in names:
        write_image(tmp_path / name, RED)
    entries = list(os.scandir(tmp_path))
    for listed in (entries, entries[::-1]):  # The file system may list the names in any order.
        monkeypatch.setattr(os, "scandir", unittest.mock.Mock(return_value=contextlib.nullcontext(listed)))
        assert read_directory_layout(str(tmp_path)).paths == names


def test_images_in_one_directory_are_unlabeled(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "c.WebP"):
        write_image(tmp_path / name, RED)
    layout = read_directory_layout(str(tmp_path))
    assert layout.paths == ("a.png", "b.JPG", "c.WebP")
    assert layout.class_names == ()
    np.testing.assert_array_equal(layout.labels, [0, 0, 0])


def test_hidden_and_other_files_are_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build_class_directories(tmp_path)
    (tmp_path / "README.txt").write_text("about")
    (tmp_path / "empty class").mkdir()
    (tmp_path / "cat" / "labels.csv").write_text("1")
    (tmp_path / "cat" / ".000.png").write_text("hidden")
    write_image(tmp_path / ".thumbnails" / "1.png", RED)
    with caplog.at_level(logging.INFO, "sagan_tf"):
        layout = read_directory_layout(str(tmp_path))
    assert len(layout.paths) == 12
    assert layout.class_names == ("cat", "dog") and "empty class" in caplog.text
    assert any(f"{tmp_path}: ignored 2 " in message for message in caplog.messages)


def test_links_are_followed(tmp_path: Path) -> None:
    build_class_directories(tmp_path / "elsewhere", ("x",), images_per_class=3)
    build_class_directories(tmp_path / "images", ("cat",), images_per_class=1)
    (tmp_path / "images" / "dog").symlink_to(tmp_path / "elsewhere" / "x", target_is_directory=True)
    (tmp_path / "images" / "cat" / "link.png").symlink_to(tmp_path / "elsewhere" / "x" / "000.png")
    layout = read_directory_layout(str(tmp_path / "images"))
    assert layout.class_names == ("cat", "dog")
    np.testing.assert_array_equal(np.bincount(layout.labels), [2, 3])


def test_link_to_itself_is_not_a_directory(tmp_path: Path) -> None:
    """A link with the name of an image is reported as unreadable when it is drawn."""
    build_class_directories(tmp_path, images_per_class=1)
    for name in ("itself", "itself.png"):
        (tmp_path / "cat" / name).symlink_to(name)
    assert read_directory_layout(str(tmp_path)).paths == ("cat/000.png", "cat/itself.png", "dog/000.png")


def test_single_class_is_rejected_but_its_directory_is_unlabeled(tmp_path: Path) -> None:
    build_class_directories(tmp_path, ("cat",))
    assert read_directory_layout(str(tmp_path / "cat")).class_names == ()
    message = read_error(tmp_path)
    assert message.endswith(f"--data_dir={tmp_path / 'cat'}") and "without labels" in message
    build_class_directories(tmp_path / "cat" / "deeper")
    (tmp_path / "cat" / "deeper").rename(tmp_path / "train")
    shutil.rmtree(tmp_path / "cat")
    assert "without labels" not in read_error(tmp_path)


def test_images_at_any_depth_belong_to_the_first_directory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("cat/b/2.png", "cat/a.png", "cat/b/c/d/e/f/g/h/1.png", "dog/images/1.png", "dog/images/b/notes.txt"):
        write_image(tmp_path / name, RED) if name.endswith("png") else tmp_path.joinpath(name).parent.mkdir()
    (tmp_path / "dog/images/b/notes.txt").touch()
    with caplog.at_level(logging.INFO, "sagan_tf"):
        layout = read_directory_layout(str(tmp_path))
    assert layout.paths == ("cat/a.png", "cat/b/2.png", "cat/b/c/d/e/f/g/h/1.png", "dog/images/1.png")
    assert layout.class_names == ("cat", "dog") and layout.labels.tolist() == [0, 0, 0, 1]
    assert caplog.messages == [f"{tmp_path}: ignored 1 files that are not images"]


def test_very_deep_directories(tmp_path: Path) -> None:
    """The depth is more than Python's limit of nested calls. Only an archive can have such paths."""
    deep = "a/" * 2000
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("images/train", "images/test"):
            archive.writestr(f"{name}/{deep}1.png", b"")
            archive.writestr(f"{name}/{deep}2.png", b"")
    assert read_error(tmp_path / "a.zip").endswith(f"{deep[:-1]}")


def test_loops_of_links_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A directory counts once for each class; the root and the directories above it never count."""
    build_class_directories(tmp_path / "images", images_per_class=1)
    links = {
        "cat/self": "cat",
        "cat/root": ".",
        "cat/above": "..",
        "cat/dog": "dog",
        "dog/cat": "cat",
        "cat/again": "dog",
    }
    for link, target in links.items():
        (tmp_path / "images" / link).symlink_to((tmp_path / "images" / target).resolve(), target_is_directory=True)
    with caplog.at_level(logging.INFO, "sagan_tf"):
        layout = read_directory_layout(str(tmp_path / "images"))
    assert layout.paths == ("cat/000.png", "cat/again/000.png", "dog/000.png", "dog/cat/000.png")
    assert any("ignored 10 links" in message for message in caplog.messages)


def test_directories_have_precedence_over_links_to_them(tmp_path: Path) -> None:
    build_class_directories(tmp_path, ("cat/real", "dog"), images_per_class=1)
    (tmp_path / "cat" / "a link").symlink_to(tmp_path / "cat" / "real", target_is_directory=True)
    assert read_directory_layout(str(tmp_path)).paths == ("cat/real/000.png", "dog/000.png")


def test_directories_are_listed_where_the_file_system_does_not_number_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_class_directories(tmp_path, ("cat/a", "cat/b", "dog"), images_per_class=1)
    monkeypatch.setattr(os, "stat", unittest.mock.Mock(return_value=unittest.mock.Mock(st_dev=0, st_ino=0)))
    assert DirectoryTree(str(tmp_path)).list_files().images == ("cat/a/000.png", "cat/b/000.png", "dog/000.png")


@pytest.mark.parametrize("option", ["data_dir", "images", "reference"])
def test_the_option_and_the_directory_to_pass_can_be_pasted(tmp_path: Path, option: str) -> None:
    build_class_directories(tmp_path / "my images" / "train")
    with pytest.raises(LayoutError) as caught:
        read_directory_layout(str(tmp_path / "my images"))
    (argument,) = shlex.split(caught.value.message(option).partition("; pass ")[2])
    name, _, directory = argument.partition("=")
    assert name == f"--{option}" and read_directory_layout(directory).class_names


def test_paths_that_are_not_directories_with_images(tmp_path: Path) -> None:
    assert read_error("").startswith("data_dir: ")
    write_image(tmp_path / "file.png", RED)
    for name in ("notes", "cat/notes", "dog/notes"):
        (tmp_path / "texts" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "texts" / name).write_text("no image")
    (tmp_path / "empty").mkdir()
    for name in ("nowhere", "file.png", "texts", "empty"):
        message = read_error(tmp_path / name)
        assert message.startswith("data_dir: ") and str(tmp_path / name) in message


@pytest.mark.parametrize("layout", [("train",), ("Val", "train"), ("data/train",), ("data/test", "data/train")])
def test_too_high_directories(tmp_path: Path, layout: tuple[str, ...]) -> None:
    """The error has the directories to pass instead."""
    for name in layout:
        build_class_directories(tmp_path / name, images_per_class=1)
    options = [f"--data_dir={tmp_path / name}" for name in layout]
    assert read_error(tmp_path).endswith(" or ".join(options))


def test_splits_of_loose_images(tmp_path: Path) -> None:
    """The directory `train` beside `test` is a split, and a class beside `plane` or where images are evaluated."""
    for name in ("train/1.png", "test/1.png"):
        write_image(tmp_path / name, RED, (8, 8))
    assert read_error(tmp_path).endswith(f"--data_dir={tmp_path / 'test'} or --data_dir={tmp_path / 'train'}")
    assert "--classes=test,train" in read_error(tmp_path)
    for options in ({"are_classes_named": True}, {"allows_split_names": True}):
        assert read_layout(open_tree(str(tmp_path)), **options).class_names == ("test", "train")
    assert open_square_images(str(tmp_path)).class_names == ("test", "train")
    write_image(tmp_path / "plane" / "1.png", RED)
    assert read_directory_layout(str(tmp_path)).class_names == ("plane", "test", "train")


def test_equal_subdirectories_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b"):
        build_class_directories(tmp_path / name, images_per_class=1)
    assert read_directory_layout(str(tmp_path)).class_names == ("a", "b")
    assert f"--data_dir={tmp_path / 'a'}" in caplog.text
    caplog.clear()
    write_image(tmp_path / "b" / "bird" / "1.png", RED)
    assert read_directory_layout(str(tmp_path)).class_names == ("a", "b") and not caplog.text


def test_images_at_two_levels(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/deeper/1.png", "stray.png"):
        write_image(tmp_path / name, RED)
    message = read_error(tmp_path)
    assert all(name in message for name in (str(tmp_path), "stray.png", "cat/1.png"))


def test_unreadable_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", unittest.mock.Mock(side_effect=PermissionError(13, "Permission denied")))
    assert f"{tmp_path}: Permission denied" in read_error(tmp_path)
