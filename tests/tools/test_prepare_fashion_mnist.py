"""`tools/prepare_fashion_mnist.py` on small files in the original format."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from tools.preparation.fashion_mnist import CLASS_NAMES, SPLIT_FILES, compute_tail_counts
from tools.prepare_fashion_mnist import run

COUNTS = {"train": 30, "test": 20}


def compress(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)  # without the time, so that all processes write the same bytes


def encode_idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return compress(header + array.tobytes())


def draw_split(split: str) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(COUNTS[split])
    images = random.integers(0, 256, (COUNTS[split], 28, 28)).astype(np.uint8)
    return images, (np.arange(COUNTS[split]) % 10).astype(np.uint8)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "original"
    directory.mkdir()
    for split, names in SPLIT_FILES.items():
        for name, array in zip(names, draw_split(split), strict=True):
            (directory / name).write_bytes(encode_idx(array))
    return directory


def prepare(source: Path, output: Path, *options: str) -> int:
    return run([f"--source={source}", f"--output={output}", *options])


@pytest.mark.parametrize("split", SPLIT_FILES)
def test_every_image_is_stored_with_its_label(split: str, source: Path, tmp_path: Path) -> None:
    assert prepare(source, tmp_path / "records") == 0
    config = DataConfig(dataset="tfrecord", data_dir=str(tmp_path / "records"), split=split)
    records = open_source(config, resolution=32, image_channels=1)
    assert records.class_names == CLASS_NAMES and records.num_examples == COUNTS[split]
    np.testing.assert_array_equal(records.class_counts, [COUNTS[split] // 10] * 10)
    images, labels = draw_split(split)
    found = {}
    for example in records.examples(seed=0, position=0).take(COUNTS[split]).as_numpy_iterator():
        number = int(example["name"].decode().rsplit("/", 1)[1].rstrip(")"))
        found[number] = example["label"]
        expected = Image.fromarray(images[number]).resize((32, 32), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(example["image"][..., 0], expected)
    assert found == dict(enumerate(labels))


def test_an_equal_split_is_kept_and_a_different_one_is_rejected(source: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "records"
    assert prepare(source, output) == 0
    times = [path.stat().st_mtime_ns for path in sorted(output.rglob("*"))]
    assert prepare(source, output) == 0
    assert [path.stat().st_mtime_ns for path in sorted(output.rglob("*"))] == times
    assert prepare(source, output, "--resolution=16") == 2
    assert str(output / "train") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (SPLIT_FILES["test"][0], None),
        (SPLIT_FILES["train"][0], b"no gzip"),
        (SPLIT_FILES["train"][0], encode_idx(draw_split("train")[0])[:1000]),
        (SPLIT_FILES["train"][0], compress(b"\x00\x00\x0d\x01")),
        (SPLIT_FILES["train"][0], compress(b"\x00\x00\x08\x03\x00")),
        (SPLIT_FILES["train"][1], encode_idx(draw_split("test")[1])),
        (SPLIT_FILES["train"][1], encode_idx(np.full(30, 10, np.uint8))),
    ],
    ids=["missing", "not gzip", "truncated", "different type", "truncated header", "different count", "unknown class"],
)
def test_damaged_files_are_named_and_nothing_is_written(
    name: str, content: bytes | None, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / name).unlink() if content is None else (source / name).write_bytes(content)
    assert prepare(source, tmp_path / "records") == 2
    printed = capsys.readouterr().err
    assert name in printed and "source: " in printed
    assert not list((tmp_path / "records").glob("*"))


def test_number_of_training_images_of_each_class(source: Path, tmp_path: Path) -> None:
    output, (images, labels) = tmp_path / "records", draw_split("train")
    options = ("--images_per_class=2", "--resolution=28")
    assert prepare(source, output, *options) == 0 and prepare(source, output, *options) == 0
    stored = {}
    for split in SPLIT_FILES:
        config = DataConfig(dataset="tfrecord", data_dir=str(output), split=split)
        stored[split] = list(open_source(config, resolution=28, image_channels=1).preview(100).as_numpy_iterator())
    found = {example["image"].tobytes(): int(example["label"]) for example in stored["train"]}
    assert found == {images[index].tobytes(): int(labels[index]) for index in range(20)}
    assert (len(stored["train"]), len(stored["test"])) == (20, COUNTS["test"])
    for count in (-1, 1, 4):
        assert prepare(source, output, f"--images_per_class={count}", "--resolution=28") == 2


def test_the_numbers_of_images_of_a_tail_fall_exponentially() -> None:
    # The CIFAR-10 of Cui et al. with 5,000 images of the largest class and an imbalance of 100 has these numbers.
    assert compute_tail_counts(5000, 100) == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert compute_tail_counts(6000, 100)[-1] == 60 and compute_tail_counts(7, 1) == [7] * 10


def test_a_tail_of_training_images(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (80, 28, 28)).astype(np.uint8)
    labels: np.ndarray = np.repeat(np.arange(10, dtype=np.uint8), 8)
    for name, array in zip(SPLIT_FILES["train"], (images, labels), strict=True):
        (source / name).write_bytes(encode_idx(array))
    for options, counts in (
        (["--tail_ratio=8"], [8, 6, 5, 4, 3, 2, 2, 1, 1, 1]),
        (["--tail_ratio=3", "--images_per_class=3"], [3, 2, 2, 2, 1, 1, 1, 1, 1, 1]),
    ):
        output = tmp_path / options[0]
        assert prepare(source, output, "--resolution=28", *options) == 0
        config = DataConfig(dataset="tfrecord", data_dir=str(output))
        records = open_source(config, resolution=28, image_channels=1)
        assert records.class_counts.tolist() == counts
        found = {example["image"].tobytes() for example in records.preview(80).as_numpy_iterator()}
        first = [images[8 * label + index] for label, count in enumerate(counts) for index in range(count)]
        assert found == {image.tobytes() for image in first}
        test = open_source(
            DataConfig(dataset="tfrecord", data_dir=str(output), split="test"), resolution=28, image_channels=1
        )
        assert test.num_examples == COUNTS["test"]
    capsys.readouterr()
    for value in ("0.5", "nan", "inf", "9"):
        assert prepare(source, tmp_path / "refused", f"--tail_ratio={value}") == 2
        error = capsys.readouterr().err
        assert "tail_ratio" in error and value in error and not list(tmp_path.glob("refused/*"))


def test_selected_classes_get_new_labels_in_both_splits(source: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "records"
    options = ("--classes=Ankle boot,0", "--images_per_class=2", "--resolution=28")
    assert prepare(source, output, *options) == 0 and prepare(source, output, *options) == 0
    for split, count in (("train", 2), ("test", 2)):
        config = DataConfig(dataset="tfrecord", data_dir=str(output), split=split)
        records = open_source(config, resolution=28, image_channels=1)
        assert records.class_names == ("Ankle boot", "T-shirt/top") and list(records.class_counts) == [count] * 2
        images, labels = draw_split(split)
        for example in records.preview(100).as_numpy_iterator():
            expected = images[labels == (9, 0)[example["label"]]][:count]
            assert (example["image"][..., 0] == expected).all(axis=(1, 2)).any()
    assert prepare(source, output, "--classes=Bag,Dress", "--resolution=28") == 2
    for classes in ("Bagg", "10", "Bag,8"):
        capsys.readouterr()
        assert prepare(source, tmp_path / "other", f"--classes={classes}") == 2
        assert "classes: " in capsys.readouterr().err and not (tmp_path / "other").exists()


def test_a_tail_over_selected_classes(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--classes=Bag,Dress", "--tail_ratio=3", "--images_per_class=3", "--resolution=28")
    for repeated in ("", "already exist"):
        assert prepare(source, tmp_path / "records", *options) == 0
        assert repeated in capsys.readouterr().out
    config = DataConfig(dataset="tfrecord", data_dir=str(tmp_path / "records"))
    records = open_source(config, resolution=28, image_channels=1)
    assert records.class_names == ("Bag", "Dress") and records.class_counts.tolist() == [3, 1]
    assert prepare(source, tmp_path / "other", "--classes=Bag", "--tail_ratio=3") == 2
    assert "tail_ratio" in capsys.readouterr().err and not (tmp_path / "other").exists()
