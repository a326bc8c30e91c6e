"""The part of a data set that options choose is the data set that a user would get by moving files."""

import dataclasses
import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.balanced import BalancedSource
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.selection import select_classes, select_images
from sagan_tf.data.sources.source import Source
from sagan_tf.data.sources.tfrecord import TFRecordMetadata, serialize_record
from sagan_tf.errors import UserError
from tests.data.sample_folders import build_class_directories, build_record_files, write_image


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 images of each of the classes ant, bee, cow."""
    directory = tmp_path_factory.mktemp("animals")
    build_class_directories(directory, ("ant", "bee", "cow"), images_per_class=30)
    return directory


def open_data(directory: Path, dataset: str = "folder", **options: Any) -> Source:
    config = DataConfig(dataset=dataset, data_dir=str(directory), **options)
    return open_source(config, resolution=4, image_channels=3)


def read_names(source: Source, directory: Path) -> list[tuple[str, int]]:
    """Return the path and the label of each image, in the order of the data set."""
    examples = source.preview(source.num_examples).as_numpy_iterator()
    return [(str(Path(e["name"].decode()).relative_to(directory)), int(e["label"])) for e in examples]


def test_classes_have_labels_in_the_given_order(animals: Path) -> None:
    source = open_data(animals, classes=("cow", "0"))
    assert source.class_names == ("cow", "ant")
    np.testing.assert_array_equal(source.class_counts, [30, 30])
    names = read_names(source, animals)
    assert names == [(f"{name}/{i:03d}.png", label) for label, name in enumerate(("cow", "ant")) for i in range(30)]


def test_selection_equals_a_directory_of_the_same_files(animals: Path, tmp_path: Path) -> None:
    """Also the order of training, so that a run on the part is the run on the files."""
    build_class_directories(tmp_path, ("ant", "bee", "cow"), images_per_class=30)
    shutil.rmtree(tmp_path / "bee")
    streams = []
    for directory, excluded in ((animals, ("bee",)), (tmp_path, ())):
        source = open_data(directory, exclude_classes=excluded)
        batch = next(source.examples(seed=3, position=7).batch(100).as_numpy_iterator())
        streams.append([(Path(n.decode()).name, la, im.tolist()) for n, la, im in
                        zip(batch["name"], batch["label"], batch["image"], strict=True)])  # fmt: skip
    assert streams[0] == streams[1]


def test_fraction_and_limit_choose_by_digest(animals: Path) -> None:
    """0.1 of 30 images is 3, although 0.1 * 30 > 3 in floating point."""

    def choose(name: str, count: int) -> list[str]:
        paths = [f"{name}/{i:03d}.png" for i in range(30)]
        return sorted(sorted(paths, key=lambda path: hashlib.sha256(path.encode()).hexdigest())[:count])

    selections: list[dict[str, Any]] = [{"data_fraction": 0.1}, {"max_images_per_class": 5}, {"data_fraction": 0.11}]
    for selection, count in zip(selections, (3, 5, 4), strict=True):
        names = [name for name, _ in read_names(open_data(animals, **selection), animals)]
        assert names == [path for name in ("ant", "bee", "cow") for path in choose(name, count)]
    both = open_data(animals, data_fraction=0.5, max_images_per_class=2, exclude_classes=("ant",))
    assert [name for name, _ in read_names(both, animals)] == choose("bee", 2) + choose("cow", 2)


@pytest.mark.parametrize("dataset", ["folder", "fashion_mnist_10k", "tfrecord"])
def test_digests_differ(animals: Path, record_files: Path, dataset: str) -> None:
    selections: list[dict[str, Any]] = [{}, {"classes": ("0", "1")}, {"classes": ("1", "0")}, {"data_fraction": 0.5}]
    directory = record_files if dataset == "tfrecord" else animals
    assert len({open_data(directory, dataset, **selection).digest() for selection in selections}) == 4


def test_packaged_images() -> None:
    source = open_data(Path(), "fashion_mnist_10k", classes=("Bag", "Coat"), max_images_per_class=3)
    assert source.class_names == ("Bag", "Coat") and source.class_counts.tolist() == [3, 3]
    whole = open_data(Path(), "fashion_mnist_10k")
    by_name = {e["name"]: e for e in whole.preview(10000).as_numpy_iterator()}
    for example in source.preview(6).as_numpy_iterator():
        original = by_name[example["name"]]
        assert whole.class_names[original["label"]] == source.class_names[example["label"]]
        np.testing.assert_array_equal(example["image"], original["image"])


def test_images_without_classes(tmp_path: Path) -> None:
    for index in range(10):
        write_image(tmp_path / f"{index}.png", (index, 0, 0))
    source = open_data(tmp_path, data_fraction=0.25)
    assert (source.num_examples, source.class_names) == (3, ())
    with pytest.raises(UserError, match="classes: "):
        open_data(tmp_path, classes=("cat",))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": ("ant", "cat")}, ("classes", "'cat'")),
        ({"classes": ("ant", "0")}, ("classes", "'ant'")),
        ({"classes": ("ant", "ant")}, ("classes", "'ant'")),
        ({"exclude_classes": ("0", "bee", "cow")}, ("exclude_classes",)),
        ({"exclude_classes": ("wasp",)}, ("exclude_classes", "'wasp'")),
        ({"classes": ("ant",), "exclude_classes": ("bee",)}, ("exclude_classes", "bee")),
        ({"data_fraction": 0.0}, ("data_fraction", "0.0")),
        ({"data_fraction": 1.5}, ("data_fraction", "1.5")),
        ({"max_images_per_class": -1}, ("max_images_per_class", "-1")),
    ],
)
def test_rejects_other_selections(animals: Path, options: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        open_data(animals, **options)
    assert str(caught.value).startswith(f"{words[0]}: ") and all(word in str(caught.value) for word in words)


def test_a_class_whose_name_is_a_number_is_given_by_name(tmp_path: Path) -> None:
    """Number 1 of the classes 2, 9 and 10 has the name 9, and is not meant by 1."""
    build_class_directories(tmp_path, ("02", "09", "10"), images_per_class=1)
    assert open_data(tmp_path, classes=("10", "02")).class_names == ("10", "02")
    for option in ("classes", "exclude_classes"):
        wanted: dict[str, Any] = {option: ("1",)}
        with pytest.raises(UserError, match=f"^{option}: .*'1'"):
            open_data(tmp_path, **wanted)


def read_numbers(source: Source) -> list[int]:
    """Return the numbers, in the whole data set, of the records of `build_record_files`."""
    examples = source.preview(source.num_examples).as_numpy_iterator()
    return [int(example["name"].decode().split("(image_")[1][:-1]) for example in examples]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({"classes": ("class_2", "0")}, [0, 2, 3, 5, 6, 8, 9, 11, 12, 14]),
        ({"data_fraction": 0.3}, [0, 1, 2, 3, 10, 11]),
        ({"max_images_per_class": 1, "exclude_classes": ("class_2",)}, [0, 10]),
        ({"max_images_per_class": 2, "data_fraction": 0.9}, [0, 1, 2, 3, 10, 11]),
    ],
)
def test_record_files(tmp_path: Path, options: dict[str, Any], numbers: list[int]) -> None:
    """Record i has class i % 3. The records of a class that are nearest to the beginning of their file come first."""
    build_record_files(tmp_path, records_per_file=(10, 5))
    source = open_data(tmp_path, "tfrecord", **options)
    assert read_numbers(source) == numbers and source.num_examples == source.class_counts_sample_size == len(numbers)
    original = [f"class_{number % 3}" for number in numbers]
    labels = [int(example["label"]) for example in source.preview(15).as_numpy_iterator()]
    assert [source.class_names[label] for label in labels] == original
    assert source.class_names == (("class_2", "class_0") if "classes" in options else tuple(sorted(set(original))))
    assert source.class_counts.tolist() == [original.count(name) for name in source.class_names]
    assert set(read_numbers(source.part(0, 2))).isdisjoint(read_numbers(source.part(1, 2)))


def copy_records(source: Path, target: Path, labels: tuple[int, ...]) -> None:
    """Copy record files without the records of other labels; the new labels are the places in `labels`."""
    metadata = TFRecordMetadata.read(str(source / "train"))
    (target / "train").mkdir(parents=True)
    files = []
    for name, _ in metadata.files:
        records = tf.data.TFRecordDataset(str(source / "train" / name)).as_numpy_iterator()
        features = [tf.train.Example.FromString(record).features.feature for record in records]
        kept = [f for f in features if f["label"].int64_list.value[0] in labels]
        files.append((name, len(kept)))
        with tf.io.TFRecordWriter(str(target / "train" / name)) as writer:
            for feature in kept:
                image, stored = (feature[key].bytes_list.value[0] for key in ("image", "name"))
                writer.write(serialize_record(image, labels.index(feature["label"].int64_list.value[0]), stored))
    names = tuple(metadata.class_names[label] for label in labels)
    counts = tuple(metadata.class_counts[label] for label in labels)
    metadata = dataclasses.replace(metadata, files=tuple(files), class_names=names, class_counts=counts)
    metadata.write(str(target / "train"))


@pytest.mark.parametrize("num_shards", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("sizes", [(9, 9, 9), (2, 14, 1), (21, 20)])
def test_selection_equals_record_files_of_the_same_records(
    tmp_path: Path, sizes: tuple[int, ...], num_shards: int
) -> None:
    """Also the order of training, on each shard and from any position."""
    build_record_files(tmp_path / "whole", records_per_file=sizes)
    copy_records(tmp_path / "whole", tmp_path / "part", (2, 0))
    streams = []
    for directory, classes in (("whole", ("class_2", "class_0")), ("part", ())):
        source = open_data(tmp_path / directory, "tfrecord", classes=classes, shuffle_buffer_size=3)
        for shard in range(num_shards):
            examples = source.examples(seed=3, position=5, shard_index=shard, num_shards=num_shards)
            batch = next(examples.batch(40).as_numpy_iterator())
            streams.append([batch[key].tolist() for key in ("image", "label", "position")])
    assert streams[:num_shards] == streams[num_shards:]


def test_selected_record_files_can_be_balanced_and_selected_from(tmp_path: Path) -> None:
    build_record_files(tmp_path, records_per_file=(10, 5))
    source = open_data(tmp_path, "tfrecord", classes=("class_2", "class_0"))
    balanced = source.balance()
    labels = [int(example["label"]) for example in balanced.examples(seed=0, position=0).take(20).as_numpy_iterator()]
    assert labels.count(0) == labels.count(1) == 10 and balanced.class_names == ("class_2", "class_0")
    kept = select_classes(source, ("class_0", "gnu"))
    assert kept.class_names == ("class_0",) and read_numbers(kept) == [0, 3, 6, 9, 12]
    assert select_classes(kept, ("class_1", "class_0")) is kept
    reordered = select_classes(source, ("class_0", "class_2")).digest()
    assert reordered == open_data(tmp_path, "tfrecord", classes=("class_0", "class_2")).digest() != source.digest()
    with pytest.raises(UserError, match="gnu"):
        select_classes(source, ("gnu",))


def test_records_without_a_valid_label_are_in_no_class(tmp_path: Path) -> None:
    build_record_files(tmp_path, records_per_file=(330,))
    path = next((tmp_path / "train").glob("*.tfrecord"))
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    for bad in (range(4, 5), range(4, 16)):
        records = [serialize_record(b"image", 9, b"x") if n in bad else record for n, record in enumerate(records)]
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record)
        if len(bad) == 1:
            source = open_data(tmp_path, "tfrecord", classes=("class_1",))
            assert source.num_examples == 109 and source.skipped.count == 0
    with pytest.raises(UserError, match="data: .*11 of 330"):
        open_data(tmp_path, "tfrecord", classes=("class_1",))


def test_record_files_without_classes(tmp_path: Path) -> None:
    build_record_files(tmp_path, records_per_file=(10, 5), num_classes=0)
    source = open_data(tmp_path, "tfrecord", data_fraction=0.3)
    assert read_numbers(source) == [0, 1, 2, 10, 11] and source.class_names == () and source.class_counts.shape == (0,)
    assert source.digest() != open_data(tmp_path, "tfrecord").digest()
    with pytest.raises(UserError, match="^exclude_classes: .*--data_fraction"):
        open_data(tmp_path, "tfrecord", exclude_classes=("0",))


class OtherSource(BalancedSource):
    """A source of which no images can be selected."""


def test_sources_without_a_selection_are_refused(animals: Path) -> None:
    source = OtherSource(open_data(animals))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="^data_fraction: "):
        select_images(source, DataConfig(data_fraction=0.5))
    with pytest.raises(UserError, match="'ant'"):
        select_classes(source, ("bee",))
    assert select_classes(source, ("cow", "bee", "ant")) is source
    assert select_images(source, DataConfig()) is source


def test_labels_are_read_once_in_a_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sagan_tf")
    for number_of_records in (4, 7):
        build_record_files(tmp_path, records_per_file=(number_of_records,))
        for label in (0, 1):
            expected = [number for number in range(number_of_records) if number % 3 == label]
            assert read_numbers(open_data(tmp_path, "tfrecord", classes=(str(label),))) == expected
        shutil.rmtree(tmp_path / "train")
    read = [message for message in caplog.messages if "reading the labels" in message]
    assert ["4 records" in read[0], "7 records" in read[1]] == [True, True] and len(read) == 2


def test_classes_without_images(tmp_path: Path) -> None:
    build_record_files(tmp_path, records_per_file=(2,))  # of class_0 and class_1
    for options in ({"classes": ("class_2",)}, {"exclude_classes": ("0", "1")}):
        with pytest.raises(UserError, match=f"^{next(iter(options))}: .*class_2"):
            open_data(tmp_path, "tfrecord", **options)
    with pytest.raises(UserError, match="^classes: expected .*class_2"):
        select_classes(open_data(tmp_path, "tfrecord"), ("class_2",))


def test_held_out_images_of_other_classes_are_left_out(animals: Path) -> None:
    kept = select_classes(open_data(animals), ("cow", "bee", "gnu"))
    assert kept.class_names == ("cow", "bee") and kept.digest() == open_data(animals, classes=("cow", "bee")).digest()
    assert {label for _, label in read_names(kept, animals)} == {0, 1} and kept.num_examples == 60
