"""`tools/prepare_imagenet.py`: its files, interruptions at any moment, and messages."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from tests.data.sample_folders import build_class_directories, get_image_color
from tests.sampling.gray_images import read_files
from tests.tools.preparation.prepare_folder import prepare_folder
from tools.benchmarks.pipeline_data import create_photograph, encode_jpeg
from tools.preparation.progress import Progress
from tools.prepare_imagenet import run

ROOT = Path(__file__).parents[2]
Printed = pytest.CaptureFixture[str]
INTERRUPTED_STATUS = 130
"""Exit status after Ctrl-C, as in shells."""


def open_records(data_dir: Path) -> Source:
    return open_source(DataConfig(dataset="tfrecord", data_dir=str(data_dir)), resolution=16, image_channels=3)


@pytest.mark.parametrize(("image_format", "tolerance"), [("jpeg", 3), ("png", 0)])
def test_the_tool_stores_every_image_with_its_label(
    class_directories: Path, tmp_path: Path, image_format: str, tolerance: int
) -> None:
    assert prepare_folder(class_directories, tmp_path, f"--format={image_format}", "--num_shards=5") == 0
    source = open_records(tmp_path)
    assert source.class_names == ("cat", "dog")
    np.testing.assert_array_equal(source.class_counts, [6, 6])
    examples = list(source.examples(seed=0, position=0).take(12).as_numpy_iterator())
    originals = {Path(example["name"].decode().rsplit("(", 1)[1].rstrip(")")) for example in examples}
    assert originals == set(class_directories.glob("*/*.png"))
    for example in examples:
        original = Path(example["name"].decode().rsplit("(", 1)[1].rstrip(")"))
        assert original.parent.name == source.class_names[example["label"]]
        expected = get_image_color(example["label"], int(original.stem))
        assert np.abs(example["image"].astype(int) - expected).max() <= tolerance


def test_the_metadata_describes_the_files_and_each_has_all_classes(class_directories: Path, tmp_path: Path) -> None:
    """A file of one class only would defeat the shuffle buffer."""
    assert prepare_folder(class_directories, tmp_path, "--num_shards=5") == 0
    metadata = json.loads((tmp_path / "train" / "dataset.json").read_text())
    assert (metadata["num_examples"], metadata["resolution"], metadata["image_channels"]) == (12, 16, 3)
    assert metadata["class_counts"] == [6, 6]
    assert [count for _, count in metadata["files"]] == [3, 3, 2, 2, 2]
    for name, count in metadata["files"]:
        records = tf.data.TFRecordDataset(str(tmp_path / "train" / name)).as_numpy_iterator()
        features = [tf.train.Example.FromString(record).features.feature for record in records]
        assert len(features) == count and len({entry["label"].int64_list.value[0] for entry in features}) == 2


def test_the_tool_leaves_nothing_when_it_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_class_directories(tmp_path / "images")
    for name in ("000", "001"):
        (tmp_path / "images" / "dog" / f"{name}.png").write_bytes(b"no image")
    assert prepare_folder(tmp_path / "images", tmp_path / "records") == 2
    assert "2 of 12" in capsys.readouterr().err
    assert list((tmp_path / "records").iterdir()) == []


@pytest.mark.parametrize(
    "option", ["--image_channels=4", "--image_channels=2", "--quality=0", "--resolution=0", "--num_shards=-1"]
)
def test_invalid_options_are_rejected(class_directories: Path, tmp_path: Path, option: str, capsys: Printed) -> None:
    assert prepare_folder(class_directories, tmp_path, option) == 2
    assert option.lstrip("-").partition("=")[0] in capsys.readouterr().err and not list(tmp_path.iterdir())


def interrupt_after(monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    """Press Ctrl-C at the start of the next shard after `shards` finished ones."""
    observe = Progress.observe

    def interrupting(progress: Progress, index: int, *done: Any) -> None:
        if len(progress.finished) == shards:
            raise KeyboardInterrupt
        observe(progress, index, *done)

    monkeypatch.setattr(Progress, "observe", interrupting)


def test_ctrl_c_reports_the_progress_and_the_same_command_continues(
    class_directories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    options = ("--num_shards=5", "--format=png")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        assert prepare_folder(class_directories, tmp_path / "cut", *options) == INTERRUPTED_STATUS
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("tools/prepare_imagenet.py: interrupted: 6 of 12 images")
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [".train.unfinished"]
    finished = sorted((tmp_path / "cut" / ".train.unfinished" / "files").glob("*.tfrecord"))
    times = [path.stat().st_mtime_ns for path in finished]
    assert prepare_folder(class_directories, tmp_path / "cut", *options) == 0
    assert [(tmp_path / "cut" / "train" / path.name).stat().st_mtime_ns for path in finished] == times
    assert "6/12" in capsys.readouterr().err  # the progress bar continues there
    assert prepare_folder(class_directories, tmp_path / "whole", *options) == 0
    assert read_files(tmp_path / "cut" / "train") == read_files(tmp_path / "whole" / "train")
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["train"]


@pytest.mark.parametrize("change", ["option", "image"])
def test_continuing_with_another_option_or_image_is_rejected(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    images, output = tmp_path / "images", tmp_path / "records"
    build_class_directories(images)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        assert prepare_folder(images, output, "--num_shards=5") == INTERRUPTED_STATUS
    if change == "image":
        (images / "cat" / "000.png").write_bytes((images / "dog" / "005.png").read_bytes())
        assert prepare_folder(images, output, "--num_shards=5") == 2
        assert "images='" in capsys.readouterr().err
    else:
        assert prepare_folder(images, output, "--num_shards=5", "--quality=90") == 2
        (message,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        recommended = re.search("continue it with (.*), or remove that directory", message)
        assert recommended and "--quality=90" in message
        assert prepare_folder(images, output, "--num_shards=5", "--quality=90", *shlex.split(recommended[1])) == 0


def test_unreadable_images_are_counted_across_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed, caplog: pytest.LogCaptureFixture
) -> None:
    build_class_directories(tmp_path / "images", images_per_class=100)
    for name in ("003", "004"):
        (tmp_path / "images" / "dog" / f"{name}.png").write_bytes(b"no image")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        assert prepare_folder(tmp_path / "images", tmp_path / "records", "--num_shards=5") == INTERRUPTED_STATUS
    caplog.clear()
    assert prepare_folder(tmp_path / "images", tmp_path / "records", "--num_shards=5") == 0
    assert "198 images of 2 classes in 5 files; 2 unreadable images left out" in capsys.readouterr().out
    named = "".join(record.getMessage() for record in caplog.records)
    assert named.count("003.png") == named.count("004.png") == 1


def test_a_full_disk_loses_no_finished_shard(
    class_directories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    def full(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("3-of-00005.tfrecord." + f"{os.getpid()}.part"):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert prepare_folder(class_directories, tmp_path, "--num_shards=5") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert prepare_folder(class_directories, tmp_path, "--num_shards=5") == 0


def write_photographs(directory: Path, count: int) -> Path:
    """Write JPEGs of 500 x 375 pixels in 2 classes, one of them damaged."""
    encoded = encode_jpeg(create_photograph(0))
    for index in range(count):
        path = directory / f"class_{index % 2}" / f"{index:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded)
    (directory / "class_0" / "0000.jpg").write_bytes(encoded[:1000])
    return directory


def start(images: Path, output: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start the command as a user does, and wait until a shard is finished."""
    command = [sys.executable, "tools/prepare_imagenet.py", "--dataset=folder", f"--data_dir={images}"]
    command += [f"--output={output}", "--num_shards=24", "--num_workers=2", *options]
    with open(output.with_suffix(".log"), "w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stderr=log, start_new_session=True)
    notes = output / ".train.unfinished" / "finished"
    while not list(notes.glob("*.json")):
        assert process.poll() is None, output.with_suffix(".log").read_text()
        time.sleep(0.01)
    return process


def find_children(process: subprocess.Popen[bytes]) -> list[Path]:
    """Return the processes that a process started, as directories of /proc."""
    numbers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [Path("/proc", number) for number in numbers]


def is_running(process: Path) -> bool:
    try:
        return process.joinpath("stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_a_killed_and_restarted_run_gives_the_same_bytes_as_one_process(tmp_path: Path, capsys: Printed) -> None:
    images = write_photographs(tmp_path / "images", 120)
    process = start(images, tmp_path / "killed")
    workers = find_children(process)
    process.kill()
    process.wait()
    assert len(workers) >= 2
    deadline = time.monotonic() + 20
    while any(map(is_running, workers)):  # they notice that their pipe is closed
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [path.name for path in (tmp_path / "killed").iterdir()] == [".train.unfinished"]
    command = ["--dataset=folder", f"--data_dir={images}", "--num_shards=24", "--num_workers=1"]
    assert run([*command, f"--output={tmp_path / 'killed'}"]) == 0
    assert run([*command, f"--output={tmp_path / 'whole'}"]) == 0
    assert read_files(tmp_path / "killed" / "train") == read_files(tmp_path / "whole" / "train")
    assert capsys.readouterr().out.count("119 images of 2 classes in 24 files; 1 unreadable images left out") == 2


@pytest.mark.slow
def test_ctrl_c_in_a_terminal(tmp_path: Path) -> None:
    """The whole process group receives the signal; one process prints one line."""
    images = write_photographs(tmp_path / "images", 120)
    process = start(images, tmp_path / "records")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == INTERRUPTED_STATUS
    message = (tmp_path / "records.log").read_text()
    assert "Traceback" not in message
    assert re.search(r"interrupted: [0-9]+ of 120 images are finished; .*\n$", message)


def test_an_archive_and_some_of_its_classes(class_directories: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "images"), "zip", class_directories))
    assert prepare_folder(archive, tmp_path / "out", "--classes=dog,cat", "--max_images_per_class=2") == 0
    source = open_records(tmp_path / "out")
    assert source.class_names == ("dog", "cat") and source.class_counts.tolist() == [2, 2]
    for example in source.preview(4).as_numpy_iterator():
        stem = Path(example["name"].decode().rstrip(")")).stem
        color = get_image_color(1 - int(example["label"]), int(stem))
        assert np.abs(example["image"].astype(int) - color).max() <= 3
