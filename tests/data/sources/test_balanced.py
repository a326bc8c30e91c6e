"""Streams in which every class is equally frequent: their order, resumption, shards and images, and refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sagan_tf.config import DataConfig
from sagan_tf.data.records.image_records import ImageRecord
from sagan_tf.data.sources import records_in_memory
from sagan_tf.data.sources.balanced_order import BalancedOrder
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from tests.data.sample_folders import build_class_directories, build_record_files, get_image_color
from tests.data.sources.test_source import assert_same, stream

COUNTS = {"cat": 9, "dog": 2, "fox": 1}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    """The same kinds of images with unequal classes, by the kind of source."""
    directories, records = tmp_path_factory.mktemp("directories"), tmp_path_factory.mktemp("records")
    build_class_directories(directories, tuple(COUNTS), images_per_class=9)
    for name, count in COUNTS.items():
        for path in sorted((directories / name).iterdir())[count:]:
            path.unlink()
    build_record_files(records, records_per_file=(4, 3), num_classes=3)
    configs = {
        "folder": DataConfig(dataset="folder", data_dir=str(directories)),
        "tfrecord": DataConfig(dataset="tfrecord", data_dir=str(records), shuffle_buffer_size=2),
        "fashion_mnist_10k": DataConfig(dataset="fashion_mnist_10k", split="reference"),
    }
    return {kind: open_source(config, resolution=16, image_channels=3) for kind, config in configs.items()}


@pytest.mark.parametrize("counts", [(5, 1, 3), (700, 2), (3,), tuple(range(1, 1500))])
def test_the_order_takes_classes_in_rounds_and_the_images_of_a_class_in_passes(counts: tuple[int, ...]) -> None:
    num_classes = len(counts)
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(num_classes), counts))
    order = BalancedOrder(labels, num_classes, seed=3)
    pieces = [order.compute_piece(piece) for piece in range(3)]
    np.testing.assert_array_equal(BalancedOrder(labels, num_classes, seed=3).compute_piece(2), pieces[2])
    images = np.concatenate(pieces)
    rounds = labels[images].reshape(-1, num_classes)
    np.testing.assert_array_equal(np.sort(rounds, axis=1), np.tile(np.arange(num_classes), (len(rounds), 1)))
    for label in range(min(num_classes, 3)):
        turns = images[labels[images] == label].tolist()
        passes = [turns[start : start + counts[label]] for start in range(0, len(turns), counts[label])]
        assert all(len(set(taken)) == len(taken) for taken in passes)
        assert len(set(turns)) == min(counts[label], len(turns))


def test_orders_differ_between_seeds_passes_and_rounds() -> None:
    labels: np.ndarray = np.arange(60) % 2
    orders = [np.concatenate([BalancedOrder(labels, 2, seed).compute_piece(n) for n in range(2)]) for seed in (0, 1)]
    assert (orders[0] != orders[1]).mean() > 0.9
    first, second = orders[0][labels[orders[0]] == 0][:60].reshape(2, 30)
    assert (first != second).mean() > 0.5
    starts = labels[orders[0][::2]]
    assert 0.4 < starts.mean() < 0.6 and 0.4 < (starts[1:] != starts[:-1]).mean() < 0.6


@pytest.mark.parametrize("kind", ["folder", "tfrecord", "fashion_mnist_10k"])
def test_a_balanced_stream_can_be_entered_anywhere_and_sharded(kind: str, sources: dict[str, Source]) -> None:
    balanced = sources[kind].balance()
    num_classes = len(balanced.class_names)
    whole = stream(balanced, 1200)
    assert [int(example["position"]) for example in whole] == list(range(1200))
    counts = np.bincount([example["label"] for example in whole[: 60 * num_classes]])
    np.testing.assert_array_equal(counts, [60] * num_classes)
    for position in (1, 37, 1025):
        assert_same(stream(balanced, 50, position=position), whole[position : position + 50])
    for shard in range(3):
        part = stream(balanced, 350, position=8, shard_index=shard, num_shards=3)
        assert_same(part, whole[8 + (shard - 8) % 3 :: 3][:350])
    assert balanced.count_reread_bytes(10**6) == 0 and balanced.balance() is balanced
    assert balanced.skipped is sources[kind].skipped and balanced.digest() == sources[kind].digest()


@pytest.mark.parametrize("kind", ["folder", "tfrecord"])
def test_the_images_are_those_of_the_data_set(kind: str, sources: dict[str, Source]) -> None:
    source = sources[kind]
    originals = {example["name"]: example for example in stream(source, source.num_examples)}
    drawn = stream(source.balance(), 60)
    assert {example["name"] for example in drawn} == set(originals)
    for example in drawn:
        expected = originals[example["name"]]
        np.testing.assert_array_equal(example["image"], expected["image"])
        assert example["label"] == expected["label"]
        assert example["image"][0, 0, 0] == get_image_color(int(example["label"]), 0)[0]


def test_a_damaged_record_is_skipped_at_its_positions(tmp_path: Path) -> None:
    build_record_files(tmp_path, records_per_file=(150,), num_classes=3, damaged=(7,))
    source = open_source(DataConfig(dataset="tfrecord", data_dir=str(tmp_path)), resolution=8, image_channels=3)
    positions = [int(example["position"]) for example in stream(source.balance(), 299)]
    assert len(set(range(300)) - set(positions)) == 2 - (positions[-1] == 299) and source.skipped.count == 1
    assert "image_7)" in source.skipped.names[0]


def test_a_record_without_a_valid_label_is_reported_and_has_no_place_in_the_order(tmp_path: Path) -> None:
    build_record_files(tmp_path, records_per_file=(150,), num_classes=3)
    source = open_source(DataConfig(dataset="tfrecord", data_dir=str(tmp_path)), resolution=8, image_channels=3)

    def parse(record: bytes, name: str) -> ImageRecord:
        return ImageRecord(name, record, label=1, problem="no label" if name == "r7" else "")

    loaded = records_in_memory.load_records(source, [(b"r%d" % index, b"x") for index in range(150)], parse)
    assert loaded.num_examples == 149 and "r7" not in loaded.get_keys() and source.skipped.names == ("r7",)
    assert loaded.class_counts.tolist() == [0, 149, 0]


def test_sources_that_cannot_be_balanced_are_refused(
    sources: dict[str, Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_directory(path: Path) -> Source:
        return open_source(DataConfig(dataset="folder", data_dir=str(path)), resolution=8, image_channels=3)

    build_class_directories(tmp_path / "loose", ("",), 2)
    with pytest.raises(UserError, match=r"^label_sampling: .*loose.* without labels"):
        open_directory(tmp_path / "loose").balance()
    build_record_files(tmp_path / "few", records_per_file=(2,), num_classes=3)
    few: Any = DataConfig(dataset="tfrecord", data_dir=str(tmp_path / "few"))
    with pytest.raises(UserError, match=r"^label_sampling: .*class_2"):
        open_source(few, resolution=8, image_channels=3).balance()
    monkeypatch.setattr(records_in_memory, "MAX_BYTES", 500)
    with pytest.raises(UserError, match=r"^label_sampling: .*more than"):
        sources["tfrecord"].balance()
    monkeypatch.setattr(records_in_memory, "_SAMPLE_RECORDS", 2)
    with pytest.raises(UserError, match=r"^label_sampling: .*about"):
        sources["tfrecord"].balance()
