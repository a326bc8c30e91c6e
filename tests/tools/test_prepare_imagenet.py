"""`tools/prepare_imagenet.py`: what it writes, that it can be left at any moment, and what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from tests.data.sample_folders import build_class_directories, get_image_color
from tools import prepare_imagenet
from tools.benchmarks.pipeline_data import create_photograph, encode_jpeg
from tools.preparation.progress import Progress
from tools.preparation.unfinished import unfinished_work
from tools.prepare_imagenet import INTERRUPTED, main

ROOT = Path(__file__).parents[2]
Printed = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def class_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 2 class subfolders of 6 images."""
    data_dir = tmp_path_factory.mktemp("class_folders")
    build_class_directories(data_dir)
    return data_dir


def open_records(data_dir: Path) -> Source:
    return open_source(DataConfig(dataset="tfrecord", data_dir=str(data_dir)), resolution=16, image_channels=3)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def prepare(source: Path, output: Path, *options: str) -> int:
    return main(
        [
            "--dataset=folder",
            f"--data_dir={source}",
            f"--output={output}",
            "--resolution=16",
            "--num_workers=1",
            *options,
        ]
    )


@pytest.mark.parametrize(("image_format", "tolerance"), [("jpeg", 3), ("png", 0)])
def test_the_tool_stores_every_image_with_its_label(
    class_folders: Path, tmp_path: Path, image_format: str, tolerance: int
) -> None:
    assert prepare(class_folders, tmp_path, f"--format={image_format}", "--num_shards=5") == 0
    source = open_records(tmp_path)
    assert source.class_names == ("cat", "dog")
    np.testing.assert_array_equal(source.class_counts, [6, 6])
    examples = list(source.examples(seed=0, position=0).take(12).as_numpy_iterator())
    originals = {Path(example["name"].decode().rsplit("(", 1)[1].rstrip(")")) for example in examples}
    assert originals == set(class_folders.glob("*/*.png"))
    for example in examples:
        original = Path(example["name"].decode().rsplit("(", 1)[1].rstrip(")"))
        assert original.parent.name == source.class_names[example["label"]]
        expected = get_image_color(example["label"], int(original.stem))
        assert np.abs(example["image"].astype(int) - expected).max() <= tolerance


def test_the_metadata_says_what_is_there(class_folders: Path, tmp_path: Path) -> None:
    assert prepare(class_folders, tmp_path, "--num_shards=5") == 0
    metadata = json.loads((tmp_path / "train" / "dataset.json").read_text())
    assert (metadata["num_examples"], metadata["resolution"], metadata["image_channels"]) == (12, 16, 3)
    assert metadata["class_counts"] == [6, 6]
    assert [count for _, count in metadata["files"]] == [3, 3, 2, 2, 2]
    for name, count in metadata["files"]:
        records = list(tf.data.TFRecordDataset(str(tmp_path / "train" / name)))
        assert len(records) == count


def test_files_mix_the_classes(class_folders: Path, tmp_path: Path) -> None:
    """A folder is ordered by class; a file of one class only would defeat a shuffle buffer."""
    assert prepare(class_folders, tmp_path, "--num_shards=2") == 0
    for path in (tmp_path / "train").glob("*.tfrecord"):
        records = [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
        assert len({record.features.feature["label"].int64_list.value[0] for record in records}) == 2


def test_the_tool_leaves_out_damaged_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_class_directories(tmp_path / "images", images_per_class=60)
    (tmp_path / "images" / "dog" / "000.png").write_bytes(b"no image")
    assert prepare(tmp_path / "images", tmp_path / "records") == 0
    assert "119 images of 2 classes in 1 files; 1 unreadable images left out" in capsys.readouterr().out
    source = open_records(tmp_path / "records")
    np.testing.assert_array_equal(source.class_counts, [60, 59])


def test_the_tool_leaves_nothing_when_it_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_class_directories(tmp_path / "images")
    (tmp_path / "images" / "dog" / "000.png").write_bytes(b"no image")
    assert prepare(tmp_path / "images", tmp_path / "records") == 2
    assert "at most 1% unreadable images" in capsys.readouterr().err
    assert list((tmp_path / "records").iterdir()) == []


def test_the_tool_does_not_overwrite(class_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train").mkdir()
    assert prepare(class_folders, tmp_path) == 2
    expected = "tools/prepare_imagenet.py: error: --output: expected a directory without train in it"
    assert capsys.readouterr().err.startswith(expected)
    assert list((tmp_path / "train").iterdir()) == []


def test_the_tool_says_when_it_cannot_write(
    class_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert prepare(class_folders, tmp_path / "file" / "records") == 2
    assert capsys.readouterr().err.startswith("tools/prepare_imagenet.py: error: output: cannot write")


@pytest.mark.parametrize("option", ["--image_channels=4", "--quality=0", "--resolution=0", "--num_shards=-1"])
def test_the_tool_refuses_senseless_options(class_folders: Path, tmp_path: Path, option: str) -> None:
    with pytest.raises(SystemExit) as caught:
        prepare(class_folders, tmp_path, option)
    assert caught.value.code == 2


def interrupt_after(monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    """Ctrl-C as soon as the next shard after `shards` finished ones is begun."""
    observe = Progress.observe

    def interrupting(progress: Progress, index: int, *done: object) -> None:
        if len(progress.finished) == shards:
            raise KeyboardInterrupt
        observe(progress, index, *done)

    monkeypatch.setattr(Progress, "observe", interrupting)


def test_ctrl_c_says_how_far_it_is_and_the_same_command_goes_on(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    options = ("--num_shards=5", "--format=png")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        assert prepare(class_folders, tmp_path / "cut", *options) == INTERRUPTED
    message = capsys.readouterr().err.splitlines()[-1]
    assert message == (
        "tools/prepare_imagenet.py: interrupted: 6 of 12 images are done; the same command goes on from there"
    )
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [".train.unfinished"]
    finished = sorted((tmp_path / "cut" / ".train.unfinished" / "files").glob("*.tfrecord"))
    times = [path.stat().st_mtime_ns for path in finished]
    assert prepare(class_folders, tmp_path / "cut", *options) == 0
    assert [(tmp_path / "cut" / "train" / path.name).stat().st_mtime_ns for path in finished] == times
    assert "6/12" in capsys.readouterr().err  # the bar begins there
    assert prepare(class_folders, tmp_path / "whole", *options) == 0
    assert contents(tmp_path / "cut" / "train") == contents(tmp_path / "whole" / "train")
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["train"]


def test_ctrl_c_before_anything_is_begun(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_imagenet, "prepare", interrupt)
    assert prepare(class_folders, tmp_path) == INTERRUPTED
    assert capsys.readouterr().err == "tools/prepare_imagenet.py: interrupted: before it began to write\n"


@pytest.mark.parametrize(
    ("option", "difference"),
    [
        ("--quality=90", "--quality=90 instead of 95"),
        ("--num_shards=3", "--num_shards=3 instead of 5"),
        ("--resolution=8", "--resolution=8 instead of 16"),
    ],
)
def test_going_on_with_other_settings_is_refused(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed, option: str, difference: str
) -> None:
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        assert prepare(class_folders, tmp_path, "--num_shards=5") == INTERRUPTED
    assert prepare(class_folders, tmp_path, "--num_shards=5", option) == 2
    (message,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    found = re.search(f"received {difference}; continue it with (.*), or remove that directory", message)
    assert found
    assert prepare(class_folders, tmp_path, "--num_shards=5", option, *shlex.split(found[1])) == 0


def test_going_on_with_other_images_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    build_class_directories(tmp_path / "images")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        assert prepare(tmp_path / "images", tmp_path / "records", "--num_shards=5") == INTERRUPTED
    changed = tmp_path / "images" / "cat" / "000.png"
    changed.write_bytes((tmp_path / "images" / "dog" / "005.png").read_bytes())
    assert prepare(tmp_path / "images", tmp_path / "records", "--num_shards=5") == 2
    assert "received images='" in capsys.readouterr().err


def test_unreadable_images_are_counted_over_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed, caplog: pytest.LogCaptureFixture
) -> None:
    build_class_directories(tmp_path / "images", images_per_class=100)
    for name in ("003", "004"):
        (tmp_path / "images" / "dog" / f"{name}.png").write_bytes(b"no image")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        assert prepare(tmp_path / "images", tmp_path / "records", "--num_shards=5") == INTERRUPTED
    caplog.clear()
    assert prepare(tmp_path / "images", tmp_path / "records", "--num_shards=5") == 0
    assert "198 images of 2 classes in 5 files; 2 unreadable images left out" in capsys.readouterr().out
    assert sorted(record.args[0][-7:] for record in caplog.records) == ["003.png", "004.png"]


def test_two_at_once_are_refused(class_folders: Path, tmp_path: Path, capsys: Printed) -> None:
    with unfinished_work(tmp_path / "train"):
        assert prepare(class_folders, tmp_path) == 2
    assert "expected that no other process prepares" in capsys.readouterr().err


def test_a_full_disk_loses_nothing(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    def full(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("3-of-00005.tfrecord." + f"{os.getpid()}.partial"):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert prepare(class_folders, tmp_path, "--num_shards=5") == 2
    assert "No space left on device; the same command goes on from there" in capsys.readouterr().err
    assert prepare(class_folders, tmp_path, "--num_shards=5") == 0


def photographs(folder: Path, count: int) -> Path:
    """`count` JPEGs of 500 x 375 pixels in 2 classes, one of them damaged."""
    encoded = encode_jpeg(create_photograph(0))
    for index in range(count):
        path = folder / f"class_{index % 2}" / f"{index:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded)
    (folder / "class_0" / "0000.jpg").write_bytes(encoded[:1000])
    return folder


def start(images: Path, output: Path, *options: str) -> subprocess.Popen[bytes]:
    """The command as a user runs it, until it has finished a shard."""
    command = [sys.executable, "tools/prepare_imagenet.py", "--dataset=folder", f"--data_dir={images}"]
    command += [f"--output={output}", "--num_shards=24", "--num_workers=2", *options]
    with open(output.with_suffix(".log"), "w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stderr=log, start_new_session=True)
    notes = output / ".train.unfinished" / "finished"
    while not list(notes.glob("*.json")):
        assert process.poll() is None, output.with_suffix(".log").read_text()
        time.sleep(0.01)
    return process


def children_of(process: subprocess.Popen[bytes]) -> list[Path]:
    """The processes that it started, as folders of /proc."""
    numbers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [Path("/proc", number) for number in numbers]


def runs(process: Path) -> bool:
    try:
        return process.joinpath("stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_killed_and_run_again_gives_the_same_bytes_as_one_process_at_once(tmp_path: Path, capsys: Printed) -> None:
    images = photographs(tmp_path / "images", 120)
    process = start(images, tmp_path / "killed")
    workers = children_of(process)
    process.kill()
    process.wait()
    assert len(workers) >= 2
    deadline = time.monotonic() + 20
    while any(map(runs, workers)):  # they notice that nobody listens
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [path.name for path in (tmp_path / "killed").iterdir()] == [".train.unfinished"]
    command = ["--dataset=folder", f"--data_dir={images}", "--num_shards=24", "--num_workers=1"]
    assert main([*command, f"--output={tmp_path / 'killed'}"]) == 0
    assert main([*command, f"--output={tmp_path / 'whole'}"]) == 0
    assert contents(tmp_path / "killed" / "train") == contents(tmp_path / "whole" / "train")
    assert capsys.readouterr().out.count("119 images of 2 classes in 24 files; 1 unreadable images left out") == 2


@pytest.mark.slow
def test_ctrl_c_in_a_terminal(tmp_path: Path) -> None:
    """The whole process group gets the signal; one line is said, by one process."""
    images = photographs(tmp_path / "images", 120)
    process = start(images, tmp_path / "records")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == INTERRUPTED
    message = (tmp_path / "records.log").read_text()
    assert "Traceback" not in message
    assert re.search(r"interrupted: [0-9]+ of 120 images are done; the same command goes on from there\n$", message)
