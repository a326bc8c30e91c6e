"""Validation of the arrays of a request against the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.serving.contract import GENERATOR_SIGNATURES, TensorContract

_KINDS = {"float32": ("iuf", "numbers"), "int32": ("iu", "whole numbers"), "int64": ("iu", "whole numbers")}
"""NumPy's kinds of dtypes that are converted to a type of the contract, and how a message calls them."""


def validate_inputs(signature: str, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the inputs of a signature as arrays with the types of the contract.

    Args:
        signature: The name of the signature.
        values: The value of every input: anything that can be converted without loss to an array of the input's shape.
            All inputs have the same number of rows.

    Raises:
        UserError: If a value has another shape or type, is not finite or is out of the range of its type, or if there
            are no rows.
    """
    inputs = {
        name: _validate_input(name, values[name], tensor)
        for name, tensor in GENERATOR_SIGNATURES[signature].inputs.items()
    }
    rows = {name: len(array) for name, array in inputs.items()}
    if len(set(rows.values())) > 1:
        received = ", ".join(f"{count} {name}" for name, count in rows.items())
        raise UserError(f"{signature}: expected as many rows of each input, received {received}")
    if not all(rows.values()):
        raise UserError(f"{signature}: expected at least one row, received none")
    return inputs


def _validate_input(name: str, value: Any, tensor: TensorContract) -> np.ndarray:
    kinds, description = _KINDS[tensor.dtype]
    expected = f"{description} [{', '.join(map(str, tensor.shape))}]"
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise UserError(f"{name}: expected {expected}, received rows that differ in length") from error
    if array.size and array.dtype.kind not in kinds:
        raise UserError(f"{name}: expected {expected}, received {_get_type_name(array)}")
    sizes = [(size, got) for size, got in zip(tensor.shape, array.shape, strict=False) if isinstance(size, int)]
    if array.ndim != len(tensor.shape) or any(size != got for size, got in sizes):
        raise UserError(f"{name}: expected {expected}, received shape {list(array.shape)}")
    if tensor.dtype == "float32":
        with np.errstate(over="ignore"):  # values out of the range of float32 become Inf, which is rejected below
            array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise UserError(f"{name}: expected finite float32 numbers, received NaN or Inf")
        return array
    limits = np.iinfo(tensor.dtype)
    if array.size and not (limits.min <= int(array.min()) and int(array.max()) <= limits.max):
        raise UserError(
            f"{name}: expected numbers in the range of {tensor.dtype}, received {int(array.min())} to {array.max()}"
        )
    return array.astype(tensor.dtype)


def _get_type_name(array: np.ndarray) -> str:
    return "text" if array.dtype.kind in "SU" else array.dtype.name
