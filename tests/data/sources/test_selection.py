"""The part of a data set that options choose is the data set that a user would get by moving files."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.selection import select_classes
from sagan_tf.data.sources.source import Source
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


@pytest.mark.parametrize("dataset", ["folder", "fashion_mnist_10k"])
def test_digests_differ(animals: Path, dataset: str) -> None:
    selections: list[dict[str, Any]] = [{}, {"classes": ("0", "1")}, {"classes": ("1", "0")}, {"data_fraction": 0.5}]
    assert len({open_data(animals, dataset, **selection).digest() for selection in selections}) == 4


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


def test_record_files_have_a_fraction_but_no_classes(tmp_path: Path) -> None:
    build_record_files(tmp_path, records_per_file=(10, 5))
    source = open_data(tmp_path, "tfrecord", data_fraction=0.3)
    names = {example["name"].decode().split("(")[1] for example in source.preview(15).as_numpy_iterator()}
    assert names == {f"image_{index})" for index in (0, 1, 2, 10, 11)} and source.num_examples == 5
    assert select_classes(source, ("class_2", "class_1", "class_0")) is source
    for classes in (("class_0",), ("gnu",)):
        with pytest.raises(UserError, match="class_1" if classes[0] == "class_0" else "gnu"):
            select_classes(source, classes)
    assert source.digest() != open_data(tmp_path, "tfrecord").digest()
    with pytest.raises(UserError, match="classes: "):
        open_data(tmp_path, "tfrecord", classes=("class_0",))


def test_held_out_images_of_other_classes_are_left_out(animals: Path) -> None:
    kept = select_classes(open_data(animals), ("cow", "bee", "gnu"))
    assert kept.class_names == ("bee", "cow")
    assert {label for _, label in read_names(kept, animals)} == {0, 1} and kept.num_examples == 60
