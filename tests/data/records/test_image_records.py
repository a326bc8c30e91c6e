"""A record is parsed, or its problem is reported; it never ends the stream."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.data.images.limits import UnreadableImageError
from sagan_tf.data.records.image_records import ImageRecord, RecordParser
from sagan_tf.data.sources.tfrecord import make_record_parser, serialize_record

PARSER = RecordParser(3, label="label", name="name")


def example(**features: tf.train.Feature) -> bytes:
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def texts(*values: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def numbers(*values: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def test_parser_reads_serialized_records() -> None:
    parsed = make_record_parser(("a", "b"))(serialize_record(b"image", 1, b"a.jpg"), "f#3")
    assert parsed == ImageRecord("f#3 (a.jpg)", b"image", 1)
    assert parsed.read() == b"image"


@pytest.mark.parametrize("label", ["", "label"])
@pytest.mark.parametrize("name", ["", "file_name"])
def test_parses_records_without_label_or_name(label: str, name: str) -> None:
    record = example(image=texts(b"image"), label=numbers(2), file_name=texts(b"\xe9.jpg"), other=numbers(7))
    parsed = RecordParser(3, label, name)(record, "f#3")
    assert (parsed.label, parsed.read()) == (2 if label else 0, b"image")
    assert parsed.name == ("f#3 (\udce9.jpg)" if name else "f#3")


INVALID = {
    "not a record": (b"no record \xff\xfe", "DecodeError"),
    "cut off": (serialize_record(b"image", 1, b"a")[:-3], "DecodeError"),
    "empty": (b"", "the feature name "),
    "no label": (example(image=texts(b"x"), name=texts(b"n")), "the feature label "),
    "no image": (example(label=numbers(1), name=texts(b"n")), "the feature image "),
    "none": (example(image=texts(), label=numbers(1), name=texts(b"n")), "the feature image "),
    "two": (example(image=texts(b"x", b"y"), label=numbers(1), name=texts(b"n")), "the feature image "),
    "a number": (example(image=numbers(1), label=numbers(1), name=texts(b"n")), "the feature image "),
    "a text": (example(image=texts(b"x"), label=texts(b"1"), name=texts(b"n")), "the feature label "),
    "no name": (example(image=texts(b"x"), label=numbers(1), name=numbers(1)), "the feature name "),
    "above": (serialize_record(b"x", 3, b"n"), "label .* 3"),
    "below": (serialize_record(b"x", -1, b"n"), "label .* -1"),
    "wraps": (serialize_record(b"x", 2**32 + 1, b"n"), "label .* 4294967297"),
}


@pytest.mark.parametrize(("record", "problem"), INVALID.values(), ids=INVALID.keys())
def test_invalid_records_have_a_problem(record: bytes, problem: str) -> None:
    parsed = PARSER(record, "f#3")
    assert parsed.name.startswith("f#3")
    with pytest.raises(UnreadableImageError, match=problem):
        parsed.read()


def test_only_label_0_is_valid_without_classes() -> None:
    parser = make_record_parser(())
    assert parser(serialize_record(b"x", 0, b"n"), "f#3").problem == ""
    assert parser(serialize_record(b"x", 1, b"n"), "f#3").problem


def test_random_bytes_never_raise_an_exception() -> None:
    random = np.random.default_rng(0)
    for length in range(300):
        assert PARSER(random.bytes(length), "f#3").problem
