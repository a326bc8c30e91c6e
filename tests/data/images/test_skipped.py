"""Unreadable images are counted and logged once; too many of them raise a one-line error."""

from __future__ import annotations

import concurrent.futures
import logging
from multiprocessing.reduction import ForkingPickler

import pytest
import tensorflow as tf

from sagan_tf.data.images.skipped import SkippedImages
from sagan_tf.errors import UserError


def test_counts_and_names_each_image_once(caplog: pytest.LogCaptureFixture) -> None:
    skipped = SkippedImages(1000)
    with caplog.at_level(logging.WARNING, "sagan_tf"):
        for name in ("b.jpg", "a.jpg", "b.jpg"):
            skipped.add(name, "cut short")
    assert skipped.count == 2
    assert skipped.names == ("a.jpg", "b.jpg")
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [f"skipped an unreadable image: {name}: cut short" for name in ("b.jpg", "a.jpg")]


def test_logs_nothing_with_log_false(caplog: pytest.LogCaptureFixture) -> None:
    skipped = SkippedImages(1000, log=False)
    skipped.add("b.jpg", "cut short")
    skipped.add("b.jpg", "another reason")
    assert skipped.reasons == {"b.jpg": "cut short"}
    assert caplog.messages == []


def test_can_be_sent_to_another_process() -> None:
    skipped = SkippedImages(200)
    skipped.add("a", "r")
    sent = ForkingPickler.loads(ForkingPickler.dumps(skipped))
    sent.add("b", "r")
    assert (sent.names, skipped.names) == (("a", "b"), ("a",))
    with pytest.raises(UserError, match="received 3 of 200"):
        sent.add("c", "r")


def test_one_percent_is_allowed_and_more_is_not() -> None:
    skipped = SkippedImages(200)
    skipped.add("a", "r")
    skipped.add("b", "r")
    assert skipped.error is None
    with pytest.raises(UserError, match=r"at most 1% unreadable images, received 3 of 200 .*c: the reason") as caught:
        skipped.add("c", "the reason")
    assert skipped.error is caught.value
    assert "\n" not in str(caught.value)


def test_is_safe_to_use_from_threads() -> None:
    skipped = SkippedImages(10**6)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: skipped.add(f"{index % 500}", "r"), range(4000)))
    assert skipped.count == 500


def test_tensorflow_error_becomes_a_user_error() -> None:
    skipped = SkippedImages(10)

    def add(index: int) -> int:
        if index == 3:
            skipped.add(f"image {index}", "cut short")
        return index

    dataset = tf.data.Dataset.range(10).map(lambda index: tf.numpy_function(add, [index], tf.int64))
    with pytest.raises(UserError, match="image 3: cut short"), skipped.raise_user_errors():
        list(dataset)


def test_other_errors_pass_unchanged() -> None:
    skipped = SkippedImages(10)
    with pytest.raises(tf.errors.OutOfRangeError), skipped.raise_user_errors():
        raise tf.errors.OutOfRangeError(None, None, "end")


def test_control_characters_in_names_are_escaped_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    skipped = SkippedImages(100)
    skipped.add("a\nerror: \x1b[2Jb.jpg", "cut\rshort")
    assert caplog.messages == [r"skipped an unreadable image: a\nerror: \x1b[2Jb.jpg: cut\rshort"]
