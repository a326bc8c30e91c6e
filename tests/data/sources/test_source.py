"""The guarantees of every kind of source about its stream, one row for each kind."""

from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.images.skipped import compute_max_skipped
from sagan_tf.data.sources.registry import DATASETS, open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError

KINDS = ("fashion_mnist_10k", "folder", "tfrecord", "tfrecord_in_one_file", "tfrecord_in_part", "imagenet2012")
Opener = Callable[[str], Source]
every_kind = pytest.mark.parametrize("kind", KINDS)
# TFDS data sets are read like record files.
# One file is a variant of several files.
every_way_of_reading = pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow if kind == "tfrecord_in_one_file" else ())
        for kind in KINDS
        if kind != "imagenet2012"
    ],
)


@pytest.fixture(scope="module")
def opened(
    class_directories: Path, record_files: Path, one_record_file: Path, miniature_imagenet: Path
) -> Callable[[str], Source]:
    """Return a function that opens a kind of source, with a shuffle buffer smaller than the data set."""
    configs = {
        "fashion_mnist_10k": DataConfig(dataset="fashion_mnist_10k", split="reference"),
        "folder": DataConfig(dataset="folder", data_dir=str(class_directories)),
        "tfrecord": DataConfig(dataset="tfrecord", data_dir=str(record_files), shuffle_buffer_size=4),
        "tfrecord_in_one_file": DataConfig(dataset="tfrecord", data_dir=str(one_record_file), shuffle_buffer_size=4),
        "tfrecord_in_part": DataConfig(
            dataset="tfrecord", data_dir=str(record_files), shuffle_buffer_size=4, classes=("class_2", "class_0")
        ),
        "imagenet2012": DataConfig(dataset="imagenet2012", data_dir=str(miniature_imagenet), shuffle_buffer_size=4),
    }
    by_kind = {kind: open_source(config, resolution=16, image_channels=3) for kind, config in configs.items()}
    return lambda kind: by_kind[kind]


def stream(source: Source, count: int, *, seed: int = 1, position: int = 0, **shard: int) -> list[dict[str, Any]]:
    examples = source.examples(seed=seed, position=position, **shard)
    options = tf.data.Options()
    options.autotune.enabled = False  # deleting an iterator waits for the autotune thread
    batches = examples.batch(count).with_options(options)  # many times faster than single examples
    batch = next(batches.as_numpy_iterator())
    return [{key: values[index] for key, values in batch.items()} for index in range(count)]


def names(examples: list[dict[str, Any]]) -> list[bytes]:
    return [example["name"] for example in examples]


def positions(examples: list[dict[str, Any]]) -> list[int]:
    return [int(example["position"]) for example in examples]


def assert_same(received: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(received) == len(expected)
    for received_example, expected_example in zip(received, expected, strict=True):
        assert received_example.keys() == expected_example.keys()
        for key in received_example:
            np.testing.assert_array_equal(received_example[key], expected_example[key])


def test_every_registered_data_set_is_tested() -> None:
    assert set(DATASETS) <= set(KINDS)


@every_kind
def test_examples_have_the_documented_shapes(opened: Opener, kind: str) -> None:
    assert opened(kind).examples(seed=0, position=0).element_spec == {
        "image": tf.TensorSpec([16, 16, 3], tf.uint8),
        "label": tf.TensorSpec([], tf.int32),
        "position": tf.TensorSpec([], tf.int64),
        "name": tf.TensorSpec([], tf.string),
    }


@every_kind
def test_chunks_have_the_same_examples(opened: Opener, kind: str) -> None:
    source = opened(kind)
    chunks = source.chunks(seed=1, position=3, shard_index=1, num_shards=2)
    examples = source.examples(seed=1, position=3, shard_index=1, num_shards=2)
    for key, spec in examples.element_spec.items():
        assert chunks.element_spec[key] == tf.TensorSpec([None, *spec.shape], spec.dtype)
    joined = next(chunks.rebatch(20).as_numpy_iterator())
    assert_same(
        [{key: values[index] for key, values in joined.items()} for index in range(20)],
        stream(source, 20, seed=1, position=3, shard_index=1, num_shards=2),
    )


@every_kind
def test_parts_have_every_image_once_and_are_picklable(opened: Opener, kind: str) -> None:
    source = opened(kind)
    whole = sorted(names(list(source.preview(source.num_examples).as_numpy_iterator())))
    together = []
    for index in range(3):
        part = source.part(index, 3)
        sent = ForkingPickler.loads(ForkingPickler.dumps(part))
        examples = list(sent.preview(sent.num_examples).as_numpy_iterator())
        assert len(examples) == part.num_examples
        assert_same(examples, list(source.part(index, 3).preview(part.num_examples).as_numpy_iterator()))
        together += names(examples)
    assert sorted(together) == whole
    assert source.digest() == source.digest() != ""
    assert source.num_examples == len(whole)  # the source itself is unchanged


@every_way_of_reading
def test_a_part_has_the_limit_of_the_whole_and_logs_nothing(
    opened: Opener, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = opened(kind)
    part = source.part(0, 3)
    for index in range(compute_max_skipped(source.num_examples)):
        part.skipped.add(str(index), "truncated")
    with pytest.raises(UserError, match=f" of {source.num_examples} so far"):
        part.skipped.add("last", "truncated")
    assert source.skipped.count == 0
    assert caplog.messages == []


@every_kind
def test_each_epoch_is_a_different_permutation(opened: Opener, kind: str) -> None:
    source = opened(kind)
    count = source.num_examples
    examples = stream(source, 3 * count)
    assert positions(examples) == list(range(3 * count))
    epochs = [names(examples[start : start + count]) for start in range(0, 3 * count, count)]
    assert len(set(epochs[0])) == count
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])
    assert len({tuple(epoch) for epoch in epochs}) == 3


@every_way_of_reading
def test_order_is_a_function_of_the_seed(opened: Opener, kind: str) -> None:
    source = opened(kind)
    tf.random.set_seed(11)
    first = names(stream(source, source.num_examples, seed=1))
    tf.random.set_seed(77)  # TensorFlow's global seed must not matter
    assert names(stream(source, source.num_examples, seed=1)) == first
    assert names(stream(source, source.num_examples, seed=2)) != first


@every_way_of_reading
def test_resumes_at_any_position(opened: Opener, kind: str) -> None:
    source = opened(kind)
    count = source.num_examples
    examples = stream(source, 2 * count + 3)
    for position in (1, count - 1, count + 2):
        assert_same(stream(source, 2 * count + 3 - position, position=position), examples[position:])


@every_way_of_reading
def test_shards_partition_every_epoch(opened: Opener, kind: str) -> None:
    source = opened(kind)
    count = source.num_examples
    together = []
    for index in range(3):
        shard = stream(source, 2 * count // 3, shard_index=index, num_shards=3)
        assert positions(shard) == list(range(index, 2 * count, 3))[: len(shard)]
        tail = [example for example in shard if example["position"] >= count // 2]
        assert_same(stream(source, len(tail), position=count // 2, shard_index=index, num_shards=3), tail)
        together += names([example for example in shard if example["position"] < count])
    assert len(set(together)) == len(together) >= count - 2


@every_way_of_reading
def test_shards_by_record_divide_the_stream(opened: Opener, kind: str) -> None:
    """Also with more files than shards if they cannot be divided evenly: 3 files for 2 shards."""
    source = opened(kind)
    whole = stream(source, 20)
    for index in range(2):
        assert_same(stream(source, 10, shard_index=index, num_shards=2), whole[index::2])


@every_kind
def test_class_counts_are_the_label_histogram(opened: Opener, kind: str) -> None:
    source = opened(kind)
    labels = [example["label"] for example in stream(source, source.num_examples)]
    assert source.class_counts.dtype == np.int64
    if source.class_names:
        np.testing.assert_array_equal(np.bincount(labels, minlength=len(source.class_names)), source.class_counts)
    else:
        assert set(labels) == {0}
        assert source.class_counts.shape == (0,)
    assert source.class_counts_sample_size == source.num_examples
