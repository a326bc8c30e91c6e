"""An archive gives the same data set as the directory that was packed, without a file on disk."""

import concurrent.futures
import copy
import io
import os
import tarfile
import unittest.mock
import zipfile
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagan_tf.config import DataConfig
from sagan_tf.data.images import limits
from sagan_tf.data.images.limits import UnreadableImageError
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.trees.archive_tree import ArchiveTree
from sagan_tf.data.trees.layout_error import LayoutError
from sagan_tf.data.trees.open_tree import open_tree
from tests.data.sample_folders import build_class_directories, read_directory_layout, write_image

Packer = Callable[[Path, dict[str, bytes]], None]
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    """Write a zip archive, each file of it with another compression than the file before."""
    with zipfile.ZipFile(path, "w") as archive:
        for index, (name, content) in enumerate(files.items()):
            archive.writestr(name, content, COMPRESSIONS[index % len(COMPRESSIONS)])


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w:") -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def make_image(number: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (number, 0, 0)).save(file, "png")
    return file.getvalue()


def read_files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


every_format = pytest.mark.parametrize("pack", [write_zip, write_tar])


@every_format
@pytest.mark.parametrize("top", ["", "images/", "./", "a/b/"])
def test_archive_is_the_directory_that_was_packed(tmp_path: Path, pack: Packer, top: str) -> None:
    """Also in the order of training, and if the archive has one directory at its top, as `zip -r` makes it."""
    build_class_directories(tmp_path / "images", ("Ähre", "dog"), images_per_class=3)
    write_image(tmp_path / "images" / "dog" / "deep" / "er" / "1.png", (9, 9, 9))
    (tmp_path / "images" / "dog" / "noextension").write_bytes(make_image(3))
    (tmp_path / "images" / "README.txt").write_text("about")
    files = read_files(tmp_path / "images")
    extra = {f"{top}.DS_Store": b"hidden", "__MACOSX/images/._1.png": b"hidden", f"{top}dog/notes": b"no image"}
    pack(tmp_path / "packed", {f"{top}{name}": content for name, content in files.items()} | extra)
    streams = []
    for path in (tmp_path / "images", tmp_path / "packed"):
        source = open_source(DataConfig(dataset="folder", data_dir=str(path)), resolution=8, image_channels=3)
        batch = next(source.examples(seed=3, position=5).batch(20).as_numpy_iterator())
        streams.append((source.class_names, batch["label"].tolist(), batch["image"].tolist()))
    assert streams[0] == streams[1] and source.num_examples == 8
    assert sorted(os.listdir(tmp_path)) == ["images", "packed"]


@every_format
def test_directories_in_an_archive(tmp_path: Path, pack: Packer) -> None:
    image = make_image()
    pack(tmp_path / "a", {f"data/{s}/{c}/1.png": image for s in ("train", "val") for c in ("cat", "dog")})
    with pytest.raises(LayoutError) as caught:
        read_directory_layout(str(tmp_path / "a"))
    (suggested, _) = str(caught.value).partition("--data_dir=")[2].split(" or ")
    assert suggested == f"{tmp_path / 'a'}/data/train"
    assert read_directory_layout(suggested).class_names == ("cat", "dog")
    assert open_tree(suggested).format_name("cat/1.png") == f"{suggested}/cat/1.png"
    assert read_directory_layout(f"{suggested}/cat").class_names == ()
    with pytest.raises(LayoutError, match="data/test"):
        read_directory_layout(str(tmp_path / "a" / "data" / "test"))


@every_format
def test_threads_and_processes_read_the_same_bytes(tmp_path: Path, pack: Packer) -> None:
    files = {f"{name}/{index}.png": os.urandom(20_000) for name in "ab" for index in range(20)}
    pack(tmp_path / "packed", files)
    for tree in (opened := open_tree(str(tmp_path / "packed")), copy.deepcopy(opened)):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for name, content in zip([*files] * 9, pool.map(tree.read, [*files] * 9), strict=True):
                assert content == files[name]


@every_format
def test_the_parts_that_a_process_receives_do_not_list_the_archive_again(
    tmp_path: Path, pack: Packer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zip archive is listed once; a tar archive, whose list is spread over the whole file, is not listed at all."""
    files = {f"top/{name}/{index}.png": make_image(index) for name in "ab" for index in range(100)}
    pack(tmp_path / "packed", files)
    config = DataConfig(dataset="folder", data_dir=str(tmp_path / "packed"), classes=("b", "a"))
    source = open_source(config, resolution=8, image_channels=3)
    parts = [bytes(ForkingPickler.dumps(source.part(index, 10))) for index in range(10)]
    counted = unittest.mock.Mock(side_effect=ArchiveTree._list_below, autospec=True)
    monkeypatch.setattr(ArchiveTree, "_list_below", lambda self: counted(self))
    received = [ForkingPickler.loads(part) for part in parts]
    assert counted.call_count == (1 if pack is write_zip else 0)
    names = []
    for part in received:
        for example in part.preview(20).as_numpy_iterator():
            names.append(os.path.relpath(example["name"].decode(), tmp_path / "packed"))
            assert example["image"][0, 0, 0] == int(Path(names[-1]).stem)
            assert example["label"] == "ba".index(Path(names[-1]).parts[1])
    assert sorted(names) == sorted(files)
    if pack is write_tar:
        assert max(map(len, parts)) < len(ForkingPickler.dumps(open_tree(str(tmp_path / "packed")))) / 2


@every_format
def test_an_archive_that_has_changed_is_not_read_in_another_process(tmp_path: Path, pack: Packer) -> None:
    files = {"cat/1.png": make_image(), "dog/1.png": make_image()}
    pack(tmp_path / "packed", files)
    sent = ForkingPickler.dumps(open_tree(str(tmp_path / "packed")))
    pack(tmp_path / "packed", {"ant/1.png": make_image()} | files)
    received = ForkingPickler.loads(sent)
    for tree in (received, copy.deepcopy(received)):
        for path in ("cat/1.png", "gone/1.png")[: 1 if pack is write_tar else 2]:
            with pytest.raises(OSError, match="packed"):
                tree.read(path)


@every_format
def test_paths_out_of_the_archive_are_ignored(tmp_path: Path, pack: Packer, caplog: pytest.LogCaptureFixture) -> None:
    image = make_image()
    names = ("cat/1.png", "dog/1.png", "../cat/2.png", "dog/../../2.png", "/etc/2.png", "cat/../dog/2.png")
    pack(tmp_path / "packed", dict.fromkeys(names, image))
    assert read_directory_layout(str(tmp_path / "packed")).paths == ("cat/1.png", "dog/1.png")
    assert "ignored 4 files" in caplog.text


def test_zip_with_separators_of_windows(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("cat\\1.png", "dog\\1.png"):
            info = zipfile.ZipInfo(name)
            info.create_system = 0
            archive.writestr(info, make_image())
    assert read_directory_layout(str(tmp_path / "a.zip")).class_names == ("cat", "dog")


def test_links_in_a_tar_archive(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind, name, target in (
            (tarfile.SYMTYPE, "cat/link.png", "../dog/1.png"),
            (tarfile.LNKTYPE, "cat/hard.png", "dog/1.png"),
            (tarfile.SYMTYPE, "cat/outside.png", "../../../etc/passwd"),
            (tarfile.SYMTYPE, "cat/itself.png", "itself.png"),
            (tarfile.FIFOTYPE, "cat/pipe.png", ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
        for name in ("dog/1.png", "/etc/passwd"):
            info = tarfile.TarInfo(name)
            info.size = len(make_image(7))
            archive.addfile(info, io.BytesIO(make_image(7)))
    tree = open_tree(str(tmp_path / "a.tar"))
    assert tree.list_files().images == ("cat/hard.png", "cat/link.png", "dog/1.png")
    assert tree.read("cat/link.png") == tree.read("cat/hard.png") == make_image(7) and "ignored 2 links" in caplog.text


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
def test_compressed_tar_is_refused(tmp_path: Path, compression: str) -> None:
    path = tmp_path / f"a.tar.{compression}"
    write_tar(path, {"cat/1.png": make_image(), "dog/1.png": make_image()}, f"w:{compression}")
    with pytest.raises(LayoutError, match=f"^data_dir: {path}.*unpack"):
        open_tree(str(path))


@every_format
def test_digest_is_of_the_content(tmp_path: Path, pack: Packer) -> None:
    def compute_digest(files: dict[str, bytes]) -> str:
        pack(tmp_path / "a", files)
        config = DataConfig(dataset="folder", data_dir=str(tmp_path / "a"))
        return open_source(config, resolution=8, image_channels=3).digest()

    files = {"cat/1.png": make_image(1) + b"1", "dog/1.png": make_image(2)}
    first = compute_digest(files)
    if pack is write_zip:  # the checksums of a zip archive tell more than the time of a tar archive
        os.utime(tmp_path / "a", (5, 5))
        assert compute_digest(files) == first
    for name, content in (("dog/1.png", make_image(2) + b" "), ("cat/1.png", make_image(1) + b"2")):
        assert compute_digest(files | {name: content}) != first


@every_format
def test_archive_of_one_class_is_the_directory_that_was_packed(tmp_path: Path, pack: Packer) -> None:
    """The directory of the class is not taken for the root; that of a table is."""
    images = dict.fromkeys(("images/cat/1.png", "images/cat/2.png"), make_image())
    pack(tmp_path / "a", images)
    with pytest.raises(LayoutError, match=f"--data_dir={tmp_path}/a/images/cat$"):
        read_directory_layout(str(tmp_path / "a"))
    pack(tmp_path / "b", images | {"images/labels.csv": b"file,label\ncat/1.png,x\ncat/2.png,y\n"})
    assert read_directory_layout(str(tmp_path / "b")).class_names == ("x", "y")
    pack(tmp_path / "c", images | {"images/cat/labels.csv": b"file,label\n1.png,x\n2.png,y\n"})
    assert read_directory_layout(str(tmp_path / "c")).class_names == ("x", "y")


def test_tar_archive_that_ends_with_a_zip_archive(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", {"ant/1.png": make_image(), "bee/1.png": make_image()})
    files = {"cat/1.png": make_image(), "dog/1.png": make_image(), "other.zip": (tmp_path / "a.zip").read_bytes()}
    write_tar(tmp_path / "a.tar", files)
    assert zipfile.is_zipfile(tmp_path / "a.tar")
    assert read_directory_layout(str(tmp_path / "a.tar")).class_names == ("cat", "dog")
    (tmp_path / "program").write_bytes(b"#!/bin/sh\n" + (tmp_path / "a.zip").read_bytes())
    assert read_directory_layout(str(tmp_path / "program")).class_names == ("ant", "bee")


def test_damaged_archives(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged archive is an error or has unreadable images: never fewer images without a message."""
    files = {f"{name}/{index}.png": make_image(index) for name in ("cat", "dog") for index in range(10)}
    generator = np.random.default_rng(0)
    for pack in (write_zip, write_tar):
        pack(tmp_path / "good", files)
        good = (tmp_path / "good").read_bytes()
        end = len(good.rstrip(b"\0"))
        for number in range(150):
            damaged = bytearray(good)
            if number % 3:
                damaged[generator.integers(len(good))] ^= 1 << int(generator.integers(8))
            else:
                del damaged[generator.integers(1, end) :]
            (tmp_path / "damaged").write_bytes(damaged)
            caplog.clear()
            try:
                tree = open_tree(str(tmp_path / "damaged"))
                listing = tree.list_files()
            except LayoutError:
                continue
            # A zip archive has no checksum of names: one changed bit may give two files the same name.
            expected = 19 if pack is write_zip else 20
            assert len(listing.images) + listing.num_ignored >= expected or caplog.messages, number
            for path in listing.images:
                try:
                    content = tree.read(path)
                except (UnreadableImageError, OSError):
                    continue
                assert pack is write_tar or content == files.get(path, content)


@every_format
def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, pack: Packer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kilobyte of a zip archive can claim a gigabyte."""
    pack(tmp_path / "packed", {"a/1.png": bytes(100), "b/1.png": bytes(101)})
    tree = open_tree(str(tmp_path / "packed"))
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 100)
    assert tree.read("a/1.png") == bytes(100)
    with pytest.raises(UnreadableImageError, match="101"):
        tree.read("b/1.png")


def test_files_that_are_no_archives(tmp_path: Path) -> None:
    (tmp_path / "image.zip").write_bytes(make_image())
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    for name in ("image.zip", "empty.zip", "image.zip/cat", "nowhere.zip"):
        with pytest.raises(LayoutError, match="^data_dir: "):
            read_directory_layout(str(tmp_path / name))
