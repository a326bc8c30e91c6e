"""A SavedModel in TensorFlow's C++ loader and session, as in TensorFlow Serving, through TensorFlow's C API.

TensorFlow's Python code takes no part in loading and running, so that a model that works only in Python fails here. The
functions are exported by TensorFlow's own shared library, which `import tensorflow` has loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

_INT_64S = POINTER(c_int64)


class _Output(ctypes.Structure):
    """TF_Output: an output of an operation."""

    _fields_ = (("operation", c_void_p), ("index", c_int))


class _Buffer(ctypes.Structure):
    """TF_Buffer: bytes, for example of a message."""

    _fields_ = (("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p))


_STRING_SIZE = 24
"""Size of a TF_TString in bytes; see tensorflow/core/platform/ctstring_internal.h."""
_STRING = tf.string.as_datatype_enum
_OUTPUTS, _POINTERS = POINTER(_Output), POINTER(c_void_p)
_FUNCTIONS: dict[str, tuple[Any, Sequence[Any]]] = {
    "TF_NewStatus": (c_void_p, ()),
    "TF_DeleteStatus": (None, (c_void_p,)),
    "TF_GetCode": (c_int, (c_void_p,)),
    "TF_Message": (c_char_p, (c_void_p,)),
    "TF_NewBuffer": (POINTER(_Buffer), ()),
    "TF_DeleteBuffer": (None, (POINTER(_Buffer),)),
    "TF_NewGraph": (c_void_p, ()),
    "TF_DeleteGraph": (None, (c_void_p,)),
    "TF_NewSessionOptions": (c_void_p, ()),
    "TF_DeleteSessionOptions": (None, (c_void_p,)),
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        (c_void_p, c_void_p, c_char_p, POINTER(c_char_p), c_int, c_void_p, POINTER(_Buffer), c_void_p),
    ),
    "TF_CloseSession": (None, (c_void_p, c_void_p)),
    "TF_DeleteSession": (None, (c_void_p, c_void_p)),
    "TF_GraphOperationByName": (c_void_p, (c_void_p, c_char_p)),
    "TF_SessionRun": (
        None,
        (
            c_void_p,
            c_void_p,
            _OUTPUTS,
            _POINTERS,
            c_int,
            _OUTPUTS,
            _POINTERS,
            c_int,
            c_void_p,
            c_int,
            c_void_p,
            c_void_p,
        ),
    ),
    "TF_AllocateTensor": (c_void_p, (c_int, _INT_64S, c_int, c_size_t)),
    "TF_DeleteTensor": (None, (c_void_p,)),
    "TF_TensorData": (c_void_p, (c_void_p,)),
    "TF_TensorType": (c_int, (c_void_p,)),
    "TF_TensorByteSize": (c_size_t, (c_void_p,)),
    "TF_NumDims": (c_int, (c_void_p,)),
    "TF_Dim": (c_int64, (c_void_p, c_int)),
    "TF_StringInit": (None, (c_void_p,)),
    "TF_StringCopy": (None, (c_void_p, c_char_p, c_size_t)),
    "TF_StringDealloc": (None, (c_void_p,)),
    "TF_StringGetDataPointer": (c_void_p, (c_void_p,)),
    "TF_StringGetSize": (c_size_t, (c_void_p,)),
}
"""Types of the result and of the arguments of TensorFlow's functions."""


def _load_library() -> ctypes.CDLL:
    # The system does not load this file again, because `import tensorflow` has loaded it.
    library = ctypes.CDLL(os.path.join(os.path.dirname(tf.__file__), "libtensorflow_cc.so.2"))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_TF = _load_library()


class RunError(Exception):
    """Raised if TensorFlow cannot load or run a model.

    Attributes:
        code: The status code of absl, which is that of gRPC: 3 is INVALID_ARGUMENT.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class CcSession:
    """A SavedModel, ready to run. Threads may share it.

    Args:
        directory: The directory of the SavedModel.

    Attributes:
        signatures: Every SignatureDef by name.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self._graph = _TF.TF_NewGraph()
        options, meta_graph = _TF.TF_NewSessionOptions(), _TF.TF_NewBuffer()
        tags = (c_char_p * 1)(b"serve")
        try:
            with _status() as status:
                self._session = _TF.TF_LoadSessionFromSavedModel(
                    options, None, os.fsencode(directory), tags, 1, self._graph, meta_graph, status
                )
            content = ctypes.string_at(meta_graph.contents.data, meta_graph.contents.length)
        finally:
            _TF.TF_DeleteBuffer(meta_graph)
            _TF.TF_DeleteSessionOptions(options)
        self.signatures = dict(meta_graph_pb2.MetaGraphDef.FromString(content).signature_def)

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs of a signature; text is an object array of bytes.

        Args:
            signature: The name of the signature.
            inputs: Exactly the inputs of the signature.

        Raises:
            RunError: If TensorFlow refuses the inputs, or an operation fails.
        """
        definition = self.signatures[signature]
        names = list(definition.outputs)
        feeds = self._find_outputs([definition.inputs[name].name for name in inputs])
        fetches = self._find_outputs([definition.outputs[name].name for name in names])
        results = (c_void_p * len(names))()
        tensors = (c_void_p * len(inputs))()
        try:
            for index, array in enumerate(inputs.values()):
                tensors[index] = _to_tensor(array)
            with _status() as status:
                _TF.TF_SessionRun(
                    self._session,
                    None,
                    *(feeds, tensors, len(inputs)),
                    *(fetches, results, len(names)),
                    *(None, 0, None, status),
                )
            return {name: _to_array(result) for name, result in zip(names, results, strict=True)}
        finally:
            for array, tensor in zip(inputs.values(), tensors, strict=True):
                _delete(tensor, owns_strings=array.dtype == object)
            for result in results:
                _delete(result, owns_strings=False)

    def close(self) -> None:
        """Free the model."""
        for function in (_TF.TF_CloseSession, _TF.TF_DeleteSession):
            with _status() as status:
                function(self._session, status)
        _TF.TF_DeleteGraph(self._graph)

    def _find_outputs(self, names: Sequence[str]) -> Any:
        """Return a TF_Output for every name OPERATION:INDEX."""
        outputs = (_Output * len(names))()
        for output, name in zip(outputs, names, strict=True):
            operation, _, index = name.partition(":")
            output.operation = _TF.TF_GraphOperationByName(self._graph, operation.encode())
            output.index = int(index or 0)
            assert output.operation, f"no operation {operation} in the graph"
        return outputs


@contextlib.contextmanager
def _status() -> Iterator[Any]:
    """Yield a TF_Status, and raise RunError afterwards if it is an error."""
    status = _TF.TF_NewStatus()
    try:
        yield status
        if code := _TF.TF_GetCode(status):
            raise RunError(code, _TF.TF_Message(status).decode("utf-8", "replace"))
    finally:
        _TF.TF_DeleteStatus(status)


def _to_tensor(array: np.ndarray) -> int:
    """Return a TF_Tensor with a copy of an array; an object array has bytes."""
    dtype = tf.as_dtype(tf.string if array.dtype == object else array.dtype).as_datatype_enum
    shape = (c_int64 * array.ndim)(*array.shape)
    size = array.size * _STRING_SIZE if dtype == _STRING else array.nbytes
    tensor = _TF.TF_AllocateTensor(dtype, shape, array.ndim, size)
    data = _TF.TF_TensorData(tensor)
    if dtype != _STRING:
        ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, size)
        return tensor
    for index, value in enumerate(array.ravel()):
        _TF.TF_StringInit(data + index * _STRING_SIZE)
        _TF.TF_StringCopy(data + index * _STRING_SIZE, value, len(value))
    return tensor


def _to_array(tensor: int) -> np.ndarray:
    """Return a copy of the values of a TF_Tensor."""
    shape = [_TF.TF_Dim(tensor, axis) for axis in range(_TF.TF_NumDims(tensor))]
    dtype, data = tf.dtypes.as_dtype(_TF.TF_TensorType(tensor)), _TF.TF_TensorData(tensor)
    if dtype != tf.string:
        content = ctypes.string_at(data, _TF.TF_TensorByteSize(tensor))
        return np.frombuffer(content, dtype.as_numpy_dtype).reshape(shape).copy()
    values: np.ndarray = np.empty(int(np.prod(shape)), object)
    for index in range(values.size):
        text = data + index * _STRING_SIZE
        values[index] = ctypes.string_at(_TF.TF_StringGetDataPointer(text), _TF.TF_StringGetSize(text))
    return values.reshape(shape)


def _delete(tensor: int | None, owns_strings: bool) -> None:
    """Free a tensor.

    Long strings lie outside the tensor. TensorFlow does not free those of a tensor that was created here.
    """
    if not tensor:
        return
    if owns_strings:
        data = _TF.TF_TensorData(tensor)
        for offset in range(0, _TF.TF_TensorByteSize(tensor), _STRING_SIZE):
            _TF.TF_StringDealloc(data + offset)
    _TF.TF_DeleteTensor(tensor)
