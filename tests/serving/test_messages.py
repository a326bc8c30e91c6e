"""Our messages beside TensorFlow Serving's own: the same bytes, either way."""

from __future__ import annotations

import pathlib
import subprocess
import sys
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

ROOT = pathlib.Path(__file__).parents[2]
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


def same_fields(ours: Any, official: Any) -> None:
    """Every field of ours is there officially, by the same number, type, repetition and packing."""
    for field in ours.fields:
        other = official.fields_by_name[field.name]
        assert field.number == other.number and field.is_repeated == other.is_repeated, field.full_name
        assert field.is_packed == other.is_packed, field.full_name
        kind = field.TYPE_INT32 if other.type == other.TYPE_ENUM else other.type  # the same on the wire
        assert field.type == kind, field.full_name
        if field.message_type is not None:
            same_fields(field.message_type, other.message_type)


@pytest.mark.parametrize("name", OFFICIAL)
def test_fields_are_the_official_ones(name: str) -> None:
    same_fields(getattr(messages, name).DESCRIPTOR, OFFICIAL[name].DESCRIPTOR)


@every_array
def test_tensorflow_reads_our_tensors_and_we_read_its(array: np.ndarray) -> None:
    content = messages.to_tensor(array).SerializeToString()
    official = tensor_pb2.TensorProto.FromString(content)
    np.testing.assert_array_equal(tf.make_ndarray(official), array)
    assert official.SerializeToString() == content  # nothing in it that TensorFlow does not know
    if array.size != 1:  # of a single number, TensorFlow writes float_val and the like
        assert tf.make_tensor_proto(array).SerializeToString() == content
    read = messages.to_array(messages.TensorProto.FromString(tf.make_tensor_proto(array).SerializeToString()))
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype and read.shape == array.shape


@pytest.mark.parametrize(
    ("dtype", "field", "values"),
    [
        (tf.float32, "float_val", [0.5]),
        (tf.float32, "float_val", [0.5, 1.5]),
        (tf.float32, "float_val", []),
        (tf.int32, "int_val", [-3]),
        (tf.int64, "int64_val", [2**62, 1]),
        (tf.string, "string_val", [b"a\x00"]),
    ],
)
def test_the_last_value_stands_for_all_that_follow(dtype: tf.DType, field: str, values: list[Any]) -> None:
    official = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum, tensor_shape=tf.TensorShape([2, 3]).as_proto())
    getattr(official, field).extend(values)
    read = messages.to_array(messages.TensorProto.FromString(official.SerializeToString()))
    np.testing.assert_array_equal(read, tf.make_ndarray(official))


def test_text_as_numpy_has_it() -> None:
    for array in (np.array(["é", "b"]), np.array([b"\xc3\xa9", b"b"]), np.array(["é", "b"], object)):
        assert list(messages.to_array(messages.to_tensor(array))) == ["é".encode(), b"b"]


def test_arrays_read_can_be_written_to_and_byte_order_does_not_matter() -> None:
    array = np.arange(3, dtype=">f4")
    read = messages.to_array(messages.to_tensor(array))
    read += 1
    assert list(read) == [1, 2, 3] and read.dtype == np.float32


def test_what_does_not_fit() -> None:
    with pytest.raises(UserError, match="tensor: expected float32, int32, string, int64, received float64"):
        messages.to_tensor(np.zeros(2))
    half = tf.make_tensor_proto(np.zeros(2, np.float16)).SerializeToString()
    with pytest.raises(UserError, match="received TensorFlow's type number 19"):
        messages.to_array(messages.TensorProto.FromString(half))
    for values in ({"tensor_content": bytes(8)}, {"float_val": [1.0, 2.0, 3.0, 4.0]}):
        tensor = messages.TensorProto(dtype=1, tensor_shape={"dim": [{"size": 3}]}, **values)
        with pytest.raises(UserError, match=r"tensor: expected the values of shape \[3\], received"):
            messages.to_array(tensor)


@pytest.mark.parametrize("version", [None, 3])
def test_a_request_of_prediction(version: int | None) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    request = messages.predict_request(messages.model_spec("sagan", version, "generate"), {"latents": array})
    official = predict_pb2.PredictRequest()
    official.model_spec.name, official.model_spec.signature_name = "sagan", "generate"
    if version is not None:
        official.model_spec.version.value = version
    official.inputs["latents"].CopyFrom(tf.make_tensor_proto(array))
    assert request.SerializeToString() == official.SerializeToString()
    log = messages.PredictionLog(predict_log=messages.PredictLog(request=request)).SerializeToString()
    assert prediction_log_pb2.PredictionLog.FromString(log).predict_log.request == official


def test_metadata_and_status_are_read() -> None:
    signature = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    signature.inputs["latents"].dtype = tf.float32.as_datatype_enum
    signature.inputs["latents"].tensor_shape.CopyFrom(tf.TensorShape([None, 8]).as_proto())
    official = get_model_metadata_pb2.GetModelMetadataResponse()
    official.metadata["signature_def"].Pack(get_model_metadata_pb2.SignatureDefMap(signature_def={"a": signature}))
    read = messages.GetModelMetadataResponse.FromString(official.SerializeToString())
    found = messages.SignatureDefMap.FromString(read.metadata["signature_def"].value).signature_def["a"]
    assert [dim.size for dim in found.inputs["latents"].tensor_shape.dim] == [-1, 8]
    assert found.inputs["latents"].dtype == messages.DTYPES["float32"]
    version = get_model_status_pb2.ModelVersionStatus(version=3, state="AVAILABLE")
    status = get_model_status_pb2.GetModelStatusResponse(model_version_status=[version])
    (ours,) = messages.GetModelStatusResponse.FromString(status.SerializeToString()).model_version_status
    assert (ours.version, ours.state) == (3, messages.AVAILABLE)


def test_no_tensorflow_is_loaded() -> None:
    program = "import sys, sagan_tf.serving.messages; assert not {'tensorflow', 'keras', 'grpc'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
