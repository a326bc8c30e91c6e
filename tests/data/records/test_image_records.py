"""A record is taken apart, or says what is wrong with it; it never ends the stream."""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.data.images.limits import UnreadableImageError
from sagan_tf.data.records.image_records import ImageRecord, RecordParser
from sagan_tf.data.sources.tfrecord import record_parser, serialize_record

PARSER = RecordParser(3, label="label", name="name")


def example(**features: tf.train.Feature) -> bytes:
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def texts(*values: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def numbers(*values: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def test_what_was_written_is_read() -> None:
    parsed = record_parser(("a", "b"))(serialize_record(b"image", 1, b"a.jpg"), "f#3")
    assert parsed == ImageRecord("f#3 (a.jpg)", b"image", 1)
    assert parsed.read() == b"image"


@pytest.mark.parametrize("label", ["", "label"])
@pytest.mark.parametrize("name", ["", "file_name"])
def test_features_that_a_data_set_lacks(label: str, name: str) -> None:
    record = example(image=texts(b"image"), label=numbers(2), file_name=texts(b"\xe9.jpg"), other=numbers(7))
    parsed = RecordParser(3, label, name)(record, "f#3")
    assert (parsed.label, parsed.read()) == (2 if label else 0, b"image")
    assert parsed.name == ("f#3 (\udce9.jpg)" if name else "f#3")


WRONG = {
    "no record": (b"no record \xff\xfe", r"no tf\.train\.Example \(DecodeError\)"),
    "cut off": (serialize_record(b"image", 1, b"a")[:-3], r"no tf\.train\.Example \(DecodeError\)"),
    "empty": (b"", "expected one name in it, received another number or kind"),
    "no label": (example(image=texts(b"x"), name=texts(b"n")), "expected one label in it"),
    "no image": (example(label=numbers(1), name=texts(b"n")), "expected one image in it"),
    "none": (example(image=texts(), label=numbers(1), name=texts(b"n")), "expected one image in it"),
    "two": (example(image=texts(b"x", b"y"), label=numbers(1), name=texts(b"n")), "expected one image in it"),
    "a number": (example(image=numbers(1), label=numbers(1), name=texts(b"n")), "expected one image in it"),
    "a text": (example(image=texts(b"x"), label=texts(b"1"), name=texts(b"n")), "expected one label in it"),
    "no name": (example(image=texts(b"x"), label=numbers(1), name=numbers(1)), "expected one name in it"),
    "above": (serialize_record(b"x", 3, b"n"), "expected a label from 0 to 2, received 3"),
    "below": (serialize_record(b"x", -1, b"n"), "expected a label from 0 to 2, received -1"),
    "wraps": (serialize_record(b"x", 2**32 + 1, b"n"), "expected a label from 0 to 2, received 4294967297"),
}


@pytest.mark.parametrize(("record", "problem"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said(record: bytes, problem: str) -> None:
    parsed = PARSER(record, "f#3")
    assert parsed.name.startswith("f#3")
    with pytest.raises(UnreadableImageError, match=problem):
        parsed.read()


def test_without_classes_there_is_label_0() -> None:
    parser = record_parser(())
    assert parser(serialize_record(b"x", 0, b"n"), "f#3").problem == ""
    assert parser(serialize_record(b"x", 1, b"n"), "f#3").problem == "expected a label from 0 to 0, received 1"


def test_can_be_sent_to_another_process() -> None:
    assert ForkingPickler.loads(ForkingPickler.dumps(PARSER)) == PARSER


def test_random_bytes_are_never_more_than_a_problem() -> None:
    random = np.random.default_rng(0)
    for length in range(300):
        assert PARSER(random.bytes(length), "f#3").problem
