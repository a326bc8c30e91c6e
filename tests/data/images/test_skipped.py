"""Unreadable images are counted and logged once; too many of them raise a one-line error."""

import concurrent.futures
import logging
from multiprocessing.reduction import ForkingPickler

import pytest
import tensorflow as tf

from sagan_tf.data.images.skipped import SkippedImages
from sagan_tf.errors import UserError


@pytest.mark.parametrize("log", [True, False])
def test_counts_and_names_each_image_once(log: bool, caplog: pytest.LogCaptureFixture) -> None:
    skipped = SkippedImages(1000, log=log)
    with caplog.at_level(logging.WARNING, "sagan_tf"):
        for name in ("b.jpg", "a\nerror: \x1b[2J.jpg", "b.jpg"):
            skipped.add(name, "cut\rshort")
    assert skipped.count == 2
    assert skipped.names == (r"a\nerror: \x1b[2J.jpg", "b.jpg")  # control characters are escaped
    found = [record.getMessage() for record in caplog.records]
    assert len(found) == (2 if log else 0)
    for line, name in zip(found, ("b.jpg", r"a\nerror: \x1b[2J.jpg"), strict=False):
        assert name in line and r"cut\rshort" in line


def test_can_be_sent_to_another_process() -> None:
    skipped = SkippedImages(20)
    skipped.add("a", "r")
    sent = ForkingPickler.loads(ForkingPickler.dumps(skipped))
    sent.add("b", "r")
    assert (sent.names, skipped.names) == (("a", "b"), ("a",))
    with pytest.raises(UserError, match="3 of 20"):
        sent.add("c", "r")


@pytest.mark.parametrize(
    ("num_examples", "limit"),
    [(1, 0), (9, 0), (10, 1), (19, 1), (20, 2), (99, 9), (100, 10), (500, 10), (1099, 10), (1100, 11), (5000, 50)],
)
def test_as_many_as_the_limit_are_allowed_and_more_are_not(num_examples: int, limit: int) -> None:
    """The limit is 1 %, but at least the smaller of 10 images and 10 %."""
    skipped = SkippedImages(num_examples, log=False)
    for index in range(limit):
        skipped.add(str(index), "r")
    assert not skipped.error
    with pytest.raises(UserError, match=f"{limit + 1} of {num_examples} .*c: the reason") as caught:
        skipped.add("c", "the reason")
    assert skipped.error is caught.value
    assert "\n" not in str(caught.value)


def test_is_safe_to_use_from_threads() -> None:
    skipped = SkippedImages(10**6)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: skipped.add(f"{index % 500}", "r"), range(4000)))
    assert skipped.count == 500


def test_tensorflow_error_becomes_a_user_error() -> None:
    skipped = SkippedImages(9)

    def add(index: int) -> int:
        if index == 3:
            skipped.add(f"image {index}", "cut short")
        return index

    dataset = tf.data.Dataset.range(10).map(lambda index: tf.numpy_function(add, [index], tf.int64))
    with pytest.raises(UserError, match="image 3: cut short"), skipped.raise_user_errors():
        list(dataset)
