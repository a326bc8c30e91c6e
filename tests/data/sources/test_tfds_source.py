"""TFDS data sets, tested with a miniature `imagenet2012` that TFDS's own builder prepares."""

import errno
import os
import re
import shlex
import shutil
import socket
import sys
import unittest.mock
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core import read_only_builder

from sagan_tf.config import DataConfig
from sagan_tf.data.sources import tfds_source
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from tests.data.miniature_imagenet import SYNSETS, build_miniature_imagenet


def open_tfds(dataset: str, data_dir: Path | str, split: str = "train", **selection: Any) -> Source:
    config = DataConfig(dataset=dataset, data_dir=str(data_dir), split=split, **selection)
    return open_source(config, resolution=16, image_channels=3)


def read_error(*arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        open_tfds(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_data_set(
    data_dir: Path, name: str, features: dict[str, Any], examples: list[dict[str, Any]], **options: Any
) -> None:
    """Prepare a TFDS data set without a module, as `tfds.dataset_builders.store_as_tfds_dataset` does."""
    builder_class = type(
        name,
        (tfds.core.GeneratorBasedBuilder,),
        {
            "__module__": __name__,
            "VERSION": tfds.core.Version("1.0.0"),
            "_info": lambda self: tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), **options
            ),
            "_split_generators": lambda self, manager: {"train": enumerate(examples)},
            "_generate_examples": lambda self: iter(()),
        },
    )
    builder_class(data_dir=str(data_dir)).download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )


def test_images_labels_and_names(miniature_imagenet: Path) -> None:
    source = open_tfds("imagenet2012", miniature_imagenet)
    assert source.class_names[:3] == SYNSETS
    assert len(source.class_names) == 1000
    for example in source.examples(seed=0, position=0).take(18).as_numpy_iterator():
        synset = SYNSETS[example["label"]].encode()
        assert b"imagenet2012-train.tfrecord-00000-of-00001#" in example["name"]
        assert b"(" + synset in example["name"]
        assert example["image"].mean(axis=(0, 1)).argmax() == example["label"]


def test_split_slices(miniature_imagenet: Path) -> None:
    whole = open_tfds("imagenet2012", miniature_imagenet)
    parts = [open_tfds("imagenet2012", miniature_imagenet, split) for split in ("train[:5]", "train[5:]")]
    assert [part.num_examples for part in parts] == [5, 13]
    names = [{example["name"] for example in source.preview(18).as_numpy_iterator()} for source in (whole, *parts)]
    assert names[1] | names[2] == names[0]
    assert not names[1] & names[2]


@pytest.mark.parametrize(("split", "num_examples"), [("train", 18), ("train[:17]", 17)])
def test_class_counts_of_a_large_data_set_are_a_sample(
    split: str, num_examples: int, miniature_imagenet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TFDS gives the size of a part of a split as 0."""
    monkeypatch.setattr(tfds_source, "_MIN_LABEL_SAMPLE", 7)
    monkeypatch.setattr(tfds_source, "_MAX_LABEL_SAMPLE_BYTES", 1)
    source = open_tfds("imagenet2012", miniature_imagenet, split)
    assert source.class_counts_sample_size == source.class_counts.sum() == 7
    assert source.num_examples == num_examples


def test_classes_are_selected_by_name_and_limited(miniature_imagenet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counts are exact although only a sample of the labels of the whole data set is counted."""
    monkeypatch.setattr(tfds_source, "_MIN_LABEL_SAMPLE", 7)
    monkeypatch.setattr(tfds_source, "_MAX_LABEL_SAMPLE_BYTES", 1)
    source = open_tfds("imagenet2012", miniature_imagenet, classes=(SYNSETS[2], SYNSETS[0]), max_images_per_class=4)
    assert source.class_names == (SYNSETS[2], SYNSETS[0]) and source.class_counts.tolist() == [4, 4]
    assert source.class_counts_sample_size == source.num_examples == 8
    for example in source.examples(seed=0, position=0).take(16).as_numpy_iterator():
        assert source.class_names[example["label"]].encode() in example["name"]
        assert example["image"].mean(axis=(0, 1)).argmax() == (2, 0)[example["label"]]
    with pytest.raises(UserError, match="n02120079"):  # a class without images here
        open_tfds("imagenet2012", miniature_imagenet, classes=("n02120079",))


def test_a_damaged_image_is_named_by_its_file(tmp_path: Path) -> None:
    build_miniature_imagenet(tmp_path, 40, damaged=("n01443537_3.JPEG",))
    source = open_tfds("imagenet2012", tmp_path)
    examples = list(source.examples(seed=0, position=0).take(120).as_numpy_iterator())
    assert examples[-1]["position"] == 120
    (name,) = source.skipped.names
    assert name.endswith("(n01443537_3.JPEG)")
    assert not any(b"n01443537_3.JPEG" in example["name"] for example in examples)


def test_opens_without_a_network(miniature_imagenet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert open_tfds("imagenet2012", miniature_imagenet).num_examples == 18
    read_error("cifar10", miniature_imagenet)


def test_not_prepared(tmp_path: Path) -> None:
    data_dir = tmp_path / "it's $HOME"
    message = read_error("cifar10", data_dir)
    assert message.startswith(f"dataset: cifar10 is not prepared in {data_dir}; run: ")
    python, option, code = shlex.split(message.partition("run: ")[2])
    assert (python, option) == (sys.executable, "-c") and f'"cifar10", data_dir="{data_dir}"' in code


def test_unknown_name_lists_similar_names(tmp_path: Path) -> None:
    message = read_error("imagnet2012", tmp_path)
    assert message.startswith("dataset: ") and "'imagnet2012'" in message
    assert message.count("imagenet2012,") == 1
    assert "'qqqqqqqqqq'" in read_error("qqqqqqqqqq", tmp_path)


def copy_data_set(source: Path, target: Path, pattern: str) -> Path:
    """Copy the miniature data set and return the path of the file that matches `pattern`."""
    shutil.copytree(source / "imagenet2012", target / "imagenet2012")
    (path,) = target.glob(f"imagenet2012/*/{pattern}")
    return path


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no record file": ("*train.tfrecord*", lambda path: path.unlink()),
    "truncated record file": ("*train.tfrecord*", lambda path: path.write_bytes(path.read_bytes()[:-20])),
    "no description": ("dataset_info.json", lambda path: path.unlink()),
    "description of another type": ("dataset_info.json", lambda path: path.write_bytes(b"[]")),
    "no features": ("features.json", lambda path: path.unlink()),
    "empty features": ("features.json", lambda path: path.write_bytes(b"")),
    "features that are not text": ("features.json", lambda path: path.write_bytes(b"\xff\0")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_error_of_a_damaged_data_set_names_its_directory(miniature_imagenet: Path, tmp_path: Path, damage: str) -> None:
    pattern, change = DAMAGES[damage]
    path = copy_data_set(miniature_imagenet, tmp_path, pattern)
    change(path)
    assert str(path.parent) in read_error("imagenet2012", tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "received"),
    [
        ('"tfrecord"', '"array_record"', "array_record"),
        ("{DATASET}-{SPLIT}", "../../nowhere/{DATASET}-{SPLIT}", "nowhere/imagenet2012-train"),
    ],
)
def test_unsupported_descriptions(miniature_imagenet: Path, tmp_path: Path, old: str, new: str, received: str) -> None:
    path = copy_data_set(miniature_imagenet, tmp_path, "dataset_info.json")
    path.write_text(path.read_text().replace(old, new))
    assert received in read_error("imagenet2012", tmp_path)


@pytest.mark.parametrize(
    ("dataset", "split", "option", "received"),
    [
        ("imagenet2012", "test", "split", "'test'"),
        ("imagenet2012", "train[:0]", "split", "train[:0]"),
        ("imagenet2012:1", "train", "dataset", "1"),
        ("imagenet2012:5.*", "train", "dataset", "5.*"),
        ("imagenet2012:9.9.9", "train", "dataset", "9.9.9"),
        ("", "train", "dataset", "''"),
        ("Fashion-MNIST", "train", "dataset", "'Fashion-MNIST'"),
        ("../cifar10", "train", "dataset", "'../cifar10'"),
        ("kaggle:foo", "train", "dataset", "'kaggle:foo'"),
    ],
)
def test_invalid_names_versions_and_splits(
    miniature_imagenet: Path, dataset: str, split: str, option: str, received: str
) -> None:
    message = read_error(dataset, miniature_imagenet, split)
    assert option in message and received in message


def test_advice_for_a_damaged_data_set_repairs_it(miniature_imagenet: Path, tmp_path: Path) -> None:
    shutil.copytree(miniature_imagenet, tmp_path, dirs_exist_ok=True)
    (path,) = tmp_path.glob("imagenet2012/*/features.json")
    path.write_bytes(b"{")
    found = re.search("remove the directory (.*) and prepare the data set again$", read_error("imagenet2012", tmp_path))
    assert found
    shutil.rmtree(found[1])
    exec(shlex.split(read_error("imagenet2012", tmp_path).partition("run: ")[2])[-1], {})
    assert (
        open_tfds("imagenet2012", tmp_path).num_examples == open_tfds("imagenet2012", miniature_imagenet).num_examples
    )


def test_unreadable_data_set_is_not_reported_as_damaged(
    miniature_imagenet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = unittest.mock.Mock(side_effect=PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    monkeypatch.setattr(read_only_builder, "builder_from_files", refuse)
    message = read_error("imagenet2012", miniature_imagenet)
    assert message.startswith("data_dir: ") and "imagenet2012" in message and "remove" not in message


def test_invalid_labels_are_unreadable_images(miniature_imagenet: Path, tmp_path: Path) -> None:
    """No memory is allocated for as many classes as the labels would need."""
    path = copy_data_set(miniature_imagenet, tmp_path, "*train.tfrecord*")
    records = [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
    for number in (5, 6):
        records[number].features.feature["label"].int64_list.value[0] = 2**40
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record.SerializeToString())
    source = open_tfds("imagenet2012", tmp_path)
    assert (len(source.class_counts), source.class_counts.sum(), source.class_counts_sample_size) == (1000, 16, 16)
    expected = f"{path}#[56] .* {2**40}"
    with pytest.raises(UserError, match=expected), source.skipped.raise_user_errors():
        list(source.preview(18))


def test_no_image_feature(tmp_path: Path) -> None:
    write_data_set(tmp_path, "OnlyWords", {"text": tfds.features.Text()}, [{"text": "a"}])
    message = read_error("only_words", tmp_path)
    assert message.startswith("dataset: ") and "only_words" in message and "text" in message


def test_a_data_set_without_labels(tmp_path: Path) -> None:
    image: np.ndarray = np.full((20, 20, 3), 9, np.uint8)
    write_data_set(tmp_path, "OnlyImages", {"image": tfds.features.Image()}, [{"image": image}] * 3)
    source = open_tfds("only_images", tmp_path)
    assert source.class_names == ()
    assert source.class_counts_sample_size == source.num_examples == 3
    (example,) = source.examples(seed=0, position=0).take(1).as_numpy_iterator()
    assert (example["label"], example["image"].max()) == (0, 9)


def test_label_minus_one_is_rejected(tmp_path: Path) -> None:
    features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(num_classes=2)}
    image: np.ndarray = np.zeros((20, 20, 3), np.uint8)
    write_data_set(tmp_path, "Unlabeled", features, [{"image": image, "label": -1}])
    assert read_error("unlabeled", tmp_path).startswith("split: ")


@pytest.mark.parametrize("disable_shuffling", [False, True])
def test_parts_are_fair_samples(tmp_path: Path, disable_shuffling: bool) -> None:
    """TFDS shuffles the records that it prepares. With `disable_shuffling` the classes are stored one after another."""
    features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(num_classes=2)}
    image: np.ndarray = np.zeros((8, 8, 3), np.uint8)
    examples = [{"image": image, "label": index // 60} for index in range(120)]
    name = "Sorted" if disable_shuffling else "Shuffled"
    write_data_set(tmp_path, name, features, examples, disable_shuffling=disable_shuffling)
    source = open_tfds(name.lower(), tmp_path)
    names = []
    for index in range(3):
        part = source.part(index, 3)
        read = list(part.preview(part.num_examples).as_numpy_iterator())
        labels = np.array([example["label"] for example in read])
        assert 10 <= labels.sum() <= 30
        assert np.abs(np.diff(labels)).sum() >= 2  # the part is not sorted
        names += [example["name"] for example in read]
    assert len(set(names)) == len(names) == 120
    halves = [open_tfds(name.lower(), tmp_path, data_fraction=fraction) for fraction in (0.5, 0.25)]
    assert [half.class_counts.tolist() for half in halves] == [[30, 30], [15, 15]]
    chosen = [{example["name"] for example in half.preview(120).as_numpy_iterator()} for half in halves]
    assert chosen[1] < chosen[0]
    places = [sorted(int(name.split(b"#")[1]) for name in read) for read in chosen]
    assert places[1] != [*range(15), *range(60, 75)]  # of a sorted class, not the first ones
