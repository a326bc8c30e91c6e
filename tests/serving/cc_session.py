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
from ctypes import c_char_p, c_int, c_int64, c_size_t, c_void_p
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2


class _Pointer(c_void_p):
    """A pointer that, unlike the result of a function with `c_void_p`, is passed on with 64 bits."""


class _Output(ctypes.Structure):
    """TF_Output: an output of an operation."""

    _fields_ = (("operation", c_void_p), ("index", c_int))


class _Buffer(ctypes.Structure):
    """TF_Buffer: bytes, for example of a message."""

    _fields_ = (("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p))


_STRING_SIZE = 24
"""Size of a TF_TString in bytes; see tensorflow/core/platform/ctstring_internal.h."""
_POINTER_FUNCTIONS = (
    *("TF_NewStatus", "TF_NewGraph", "TF_NewSessionOptions", "TF_LoadSessionFromSavedModel"),
    *("TF_GraphOperationByName", "TF_AllocateTensor", "TF_TensorData", "TF_StringGetDataPointer"),
)
"""TensorFlow's functions that return a pointer; others return an `int` or nothing if nothing else is said."""


def _load_library() -> ctypes.CDLL:
    # The system does not load this file again, because `import tensorflow` has loaded it.
    library = ctypes.CDLL(os.path.join(os.path.dirname(tf.__file__), "libtensorflow_cc.so.2"))
    for name in _POINTER_FUNCTIONS:
        getattr(library, name).restype = _Pointer
    library.TF_Message.restype, library.TF_NewBuffer.restype = c_char_p, ctypes.POINTER(_Buffer)
    library.TF_Dim.restype = c_int64
    library.TF_TensorByteSize.restype = library.TF_StringGetSize.restype = c_size_t
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
            inputs: Exactly the inputs of the signature, which are numbers.

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
            return {name: _to_array(_Pointer(result)) for name, result in zip(names, results, strict=True)}
        finally:
            for tensor in (*tensors, *results):
                if tensor:
                    _TF.TF_DeleteTensor(_Pointer(tensor))

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


def _to_tensor(array: np.ndarray) -> _Pointer:
    """Return a TF_Tensor with a copy of an array."""
    shape = (c_int64 * array.ndim)(*array.shape)
    dtype = tf.as_dtype(array.dtype).as_datatype_enum
    tensor = _TF.TF_AllocateTensor(dtype, shape, array.ndim, c_size_t(array.nbytes))
    ctypes.memmove(_TF.TF_TensorData(tensor), np.ascontiguousarray(array).ctypes.data, array.nbytes)
    return tensor


def _to_array(tensor: _Pointer) -> np.ndarray:
    """Return a copy of the values of a TF_Tensor."""
    shape = [_TF.TF_Dim(tensor, axis) for axis in range(_TF.TF_NumDims(tensor))]
    dtype, data = tf.dtypes.as_dtype(_TF.TF_TensorType(tensor)), _TF.TF_TensorData(tensor)
    if dtype != tf.string:
        content = ctypes.string_at(data, _TF.TF_TensorByteSize(tensor))
        return np.frombuffer(content, dtype.as_numpy_dtype).reshape(shape).copy()
    values: np.ndarray = np.empty(int(np.prod(shape)), object)
    for index in range(values.size):
        text = _Pointer(data.value + index * _STRING_SIZE)
        values[index] = ctypes.string_at(_TF.TF_StringGetDataPointer(text), _TF.TF_StringGetSize(text))
    return values.reshape(shape)
