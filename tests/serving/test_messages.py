"""Our messages have the same bytes as those of TensorFlow Serving."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
)

from sagan_tf.errors import UserError
from sagan_tf.serving import messages

OFFICIAL = {
    "TensorProto": tensor_pb2.TensorProto,
    "TensorInfo": meta_graph_pb2.TensorInfo,
    "SignatureDef": meta_graph_pb2.SignatureDef,
    "SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
    "ModelSpec": model_pb2.ModelSpec,
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "GetModelMetadataRequest": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelMetadataResponse": get_model_metadata_pb2.GetModelMetadataResponse,
    "GetModelStatusRequest": get_model_status_pb2.GetModelStatusRequest,
    "GetModelStatusResponse": get_model_status_pb2.GetModelStatusResponse,
    "PredictLog": prediction_log_pb2.PredictLog,
    "PredictionLog": prediction_log_pb2.PredictionLog,
}
ARRAYS = [
    np.array([[0.5, -1.0, np.inf], [np.nan, 1e-38, -0.0]], np.float32),
    np.array([-(2**31), 0, 2**31 - 1], np.int32),
    np.array([[2**62 - 1], [-(2**63)]], np.int64),
    np.array([b"\x89PNG\x00\xff\x00", b""], object),
    np.zeros((0, 4), np.float32),
    np.array(3.5, np.float32),
    np.array([7], np.int64),
]
every_array = pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{list(array.shape)}")


def assert_same_fields(ours: Any, official: Any) -> None:
    """Assert that every field of ours is an official field with the same number, type, repetition and packing."""
    for field in ours.fields:
        expected = official.fields_by_name[field.name]
        assert field.number == expected.number and field.is_repeated == expected.is_repeated, field.full_name
        assert field.is_packed == expected.is_packed, field.full_name
        kind = field.TYPE_INT32 if expected.type == expected.TYPE_ENUM else expected.type  # the same on the wire
        assert field.type == kind, field.full_name
        if field.message_type is not None:
            assert_same_fields(field.message_type, expected.message_type)


@pytest.mark.parametrize("name", OFFICIAL)
def test_fields_are_the_official_ones(name: str) -> None:
    assert_same_fields(getattr(messages, name).DESCRIPTOR, OFFICIAL[name].DESCRIPTOR)


@every_array
def test_tensors_are_exchanged_with_tensorflow(array: np.ndarray) -> None:
    content = messages.to_tensor(array).SerializeToString()
    official = tensor_pb2.TensorProto.FromString(content)
    np.testing.assert_array_equal(tf.make_ndarray(official), array)
    assert official.SerializeToString() == content  # TensorFlow knows all of its fields
    if array.size != 1:  # for a single number, TensorFlow writes float_val or int_val
        assert tf.make_tensor_proto(array).SerializeToString() == content
    read = messages.to_array(messages.TensorProto.FromString(tf.make_tensor_proto(array).SerializeToString()))
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype and read.shape == array.shape


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("float", [0.5]),
        ("float", [0.5, 1.5]),
        ("float", []),
        ("int", [-3]),
        ("int64", [2**62, 1]),
        ("string", [b"a\0"]),
    ],
)
def test_the_last_value_is_repeated(dtype: str, values: list[Any]) -> None:
    number = tensor_pb2.TensorProto(dtype=f"DT_{dtype.upper()}" if dtype != "int" else "DT_INT32").dtype
    official = tensor_pb2.TensorProto(dtype=number, tensor_shape=tf.TensorShape([2, 3]).as_proto())
    getattr(official, f"{dtype}_val").extend(values)
    read = messages.to_array(messages.TensorProto.FromString(official.SerializeToString()))
    np.testing.assert_array_equal(read, tf.make_ndarray(official))


def test_text_arrays_of_numpy() -> None:
    for array in (np.array(["é", "b"]), np.array([b"\xc3\xa9", b"b"]), np.array(["é", "b"], object)):
        assert list(messages.to_array(messages.to_tensor(array))) == ["é".encode(), b"b"]


def test_arrays_are_writable_in_any_byte_order() -> None:
    array: np.ndarray = np.arange(3, dtype=">f4")
    read = messages.to_array(messages.to_tensor(array))
    read += 1
    assert list(read) == [1, 2, 3] and read.dtype == np.float32


def test_invalid_tensors() -> None:
    with pytest.raises(UserError, match="tensor: .*float64"):
        messages.to_tensor(np.zeros(2))
    half = tf.make_tensor_proto(np.zeros(2, np.float16)).SerializeToString()
    with pytest.raises(UserError, match="tensor: .*19"):
        messages.to_array(messages.TensorProto.FromString(half))
    for values in ({"tensor_content": bytes(8)}, {"float_val": [1.0, 2.0, 3.0, 4.0]}):
        tensor = messages.TensorProto(dtype=1, tensor_shape={"dim": [{"size": 3}]}, **values)
        with pytest.raises(UserError, match=r"tensor: .*\[3\]"):
            messages.to_array(tensor)


@pytest.mark.parametrize("version", [None, 3])
def test_a_predict_request(version: int | None) -> None:
    array: np.ndarray = np.arange(6, dtype=np.float32).reshape(2, 3)
    request = messages.make_predict_request(messages.make_model_spec("sagan", version, "generate"), {"latents": array})
    official = predict_pb2.PredictRequest()
    official.model_spec.name, official.model_spec.signature_name = "sagan", "generate"
    if version is not None:
        official.model_spec.version.value = version
    official.inputs["latents"].CopyFrom(tf.make_tensor_proto(array))
    assert request.SerializeToString() == official.SerializeToString()
    log = messages.PredictionLog(predict_log=messages.PredictLog(request=request)).SerializeToString()
    assert prediction_log_pb2.PredictionLog.FromString(log).predict_log.request == official
