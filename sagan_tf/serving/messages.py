"""Messages of TensorFlow Serving, without TensorFlow.

Only the fields that are needed here are defined. On the wire they are identical to the classes in
`tensorflow_serving.apis`. They are defined in a descriptor pool of their own, so that a process may load those classes
as well. Enumerations are plain numbers, and there are no `oneof` groups: set at most one of `version` and
`version_label`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from sagan_tf.errors import UserError

_FIELDS: dict[str, dict[str, tuple[int, str]]] = {
    "Any": {"type_url": (1, "string"), "value": (2, "bytes")},
    "Int64Value": {"value": (1, "int64")},
    "Dim": {"size": (1, "int64"), "name": (2, "string")},
    "TensorShapeProto": {"dim": (2, "repeated Dim"), "unknown_rank": (3, "bool")},
    "TensorProto": {
        "dtype": (1, "int32"),
        "tensor_shape": (2, "TensorShapeProto"),
        "tensor_content": (4, "bytes"),
        "float_val": (5, "repeated float"),
        "int_val": (7, "repeated int32"),
        "string_val": (8, "repeated bytes"),
        "int64_val": (10, "repeated int64"),
    },
    "TensorInfo": {"name": (1, "string"), "dtype": (2, "int32"), "tensor_shape": (3, "TensorShapeProto")},
    "SignatureDef": {"inputs": (1, "map TensorInfo"), "outputs": (2, "map TensorInfo"), "method_name": (3, "string")},
    "SignatureDefMap": {"signature_def": (1, "map SignatureDef")},
    "ModelSpec": {
        "name": (1, "string"),
        "version": (2, "Int64Value"),
        "signature_name": (3, "string"),
        "version_label": (4, "string"),
    },
    "PredictRequest": {
        "model_spec": (1, "ModelSpec"),
        "inputs": (2, "map TensorProto"),
        "output_filter": (3, "repeated string"),
    },
    "PredictResponse": {"outputs": (1, "map TensorProto"), "model_spec": (2, "ModelSpec")},
    "GetModelMetadataRequest": {"model_spec": (1, "ModelSpec"), "metadata_field": (2, "repeated string")},
    "GetModelMetadataResponse": {"model_spec": (1, "ModelSpec"), "metadata": (2, "map Any")},
    "GetModelStatusRequest": {"model_spec": (1, "ModelSpec")},
    "ModelVersionStatus": {"version": (1, "int64"), "state": (2, "int32")},
    "GetModelStatusResponse": {"model_version_status": (1, "repeated ModelVersionStatus")},
    "PredictLog": {"request": (1, "PredictRequest"), "response": (2, "PredictResponse")},
    "PredictionLog": {"predict_log": (6, "PredictLog")},
}
"""Number and type of every field of every message.

A type is a scalar type of protobuf or a message of this table, by itself, after `repeated`, or after `map` for a map
from strings.
"""

_PACKAGE = "tensorflow.serving"
_SCALARS = {
    name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("bool", "bytes", "float", "int32", "int64", "string")
}


def _add_field(message: Any, name: str, number: int, kind: str) -> None:
    """Add a field to a `DescriptorProto`.

    A map is, on the wire, a repeated message of keys and values.
    """
    modifier, _, kind = kind.rpartition(" ")
    if modifier == "map":
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, kind)
        modifier, kind = "repeated", f"{message.name}.{entry.name}"
    field = message.field.add(name=name, number=number)
    field.label = field.LABEL_REPEATED if modifier else field.LABEL_OPTIONAL
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"


def _make_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="sagan_tf/serving.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _FIELDS}


_CLASSES = _make_classes()
TensorShapeProto = _CLASSES["TensorShapeProto"]
TensorProto = _CLASSES["TensorProto"]
TensorInfo = _CLASSES["TensorInfo"]
SignatureDef = _CLASSES["SignatureDef"]
SignatureDefMap = _CLASSES["SignatureDefMap"]
ModelSpec = _CLASSES["ModelSpec"]
PredictRequest = _CLASSES["PredictRequest"]
PredictResponse = _CLASSES["PredictResponse"]
GetModelMetadataRequest = _CLASSES["GetModelMetadataRequest"]
GetModelMetadataResponse = _CLASSES["GetModelMetadataResponse"]
GetModelStatusRequest = _CLASSES["GetModelStatusRequest"]
GetModelStatusResponse = _CLASSES["GetModelStatusResponse"]
PredictLog = _CLASSES["PredictLog"]
PredictionLog = _CLASSES["PredictionLog"]

DTYPES = {"float32": 1, "int32": 3, "string": 7, "int64": 9}
"""TensorFlow's numbers of the types in the contract."""
_VALUE_FIELDS = {1: "float_val", 3: "int_val", 7: "string_val", 9: "int64_val"}
AVAILABLE = 30
"""State of a model version that is served."""


def to_tensor(array: np.ndarray) -> Message:
    """Return an array as a `TensorProto`.

    Args:
        array: float32, int32, int64, or text as bytes or str. Only an object array keeps zeros at the end of bytes.

    Raises:
        UserError: If the array has another type.
    """
    array = np.asarray(array)
    dtype = "string" if array.dtype.kind in "OSU" else array.dtype.name
    if dtype not in DTYPES:
        raise UserError(f"tensor: expected {', '.join(DTYPES)}, received {dtype}")
    shape = TensorShapeProto(dim=[{"size": size} for size in array.shape])
    tensor = TensorProto(dtype=DTYPES[dtype], tensor_shape=shape)
    if dtype == "string":
        tensor.string_val.extend(_to_bytes(value) for value in array.ravel().tolist())
    else:
        tensor.tensor_content = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return tensor


def to_array(tensor: Message) -> np.ndarray:
    """Return a `TensorProto` as an array; text as an object array of bytes.

    Args:
        tensor: Its values are in `tensor_content` or in a `*_val` field.

    Raises:
        UserError: If its type is not in the contract, or the number of values does not match its shape.
    """
    names = {number: name for name, number in DTYPES.items()}
    if tensor.dtype not in names:
        raise UserError(f"tensor: expected {', '.join(DTYPES)}, received TensorFlow's type number {tensor.dtype}")
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_content:
        values = np.frombuffer(tensor.tensor_content, np.dtype(names[tensor.dtype]).newbyteorder("<"))
        # A copy, because an array over the bytes of the message is read-only.
        values = values.astype(names[tensor.dtype])
    else:
        values = _read_value_field(tensor, names[tensor.dtype], math.prod(shape))
    if values.size != math.prod(shape):
        raise UserError(f"tensor: expected {math.prod(shape)} values for shape {list(shape)}, received {values.size}")
    return values.reshape(shape)


def _read_value_field(tensor: Message, dtype: str, count: int) -> np.ndarray:
    """Return the values of a `*_val` field, extended to at least `count` values.

    The last value is repeated; if the field is empty, all values are zero.
    """
    present = list(getattr(tensor, _VALUE_FIELDS[tensor.dtype]))
    last = present[-1] if present else (b"" if dtype == "string" else 0)
    present += [last] * (count - len(present))
    values: np.ndarray = np.empty(len(present), object if dtype == "string" else dtype)
    values[:] = present  # np.array(present) would drop zeros at the end of bytes
    return values


def make_model_spec(model: str, version: int | None = None, signature: str = "") -> Message:
    """Return the `ModelSpec` of a request; version None is the newest."""
    spec = ModelSpec(name=model, signature_name=signature)
    if version is not None:
        spec.version.value = version
    return spec


def make_predict_request(spec: Message, inputs: Mapping[str, np.ndarray]) -> Message:
    """Return a `PredictRequest` of arrays by name."""
    return PredictRequest(model_spec=spec, inputs={name: to_tensor(array) for name, array in inputs.items()})


def _to_bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
