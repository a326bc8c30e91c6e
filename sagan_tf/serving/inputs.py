"""A request's arrays, checked against the contract before they go anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.serving.contract import GENERATOR_SIGNATURES, TensorContract

_KINDS = {"float32": ("iuf", "numbers"), "int32": ("iu", "whole numbers"), "int64": ("iu", "whole numbers")}


def checked_inputs(signature: str, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the inputs of a signature of the contract, in its types.

    Args:
        signature: its name.
        values: of every input, what can be made an array of its shape without loss; as many rows of each.

    Raises:
        UserError: a value has another shape or type, is not finite or not in its type's range, or there are no rows.
    """
    inputs = {
        name: _checked(name, values[name], tensor) for name, tensor in GENERATOR_SIGNATURES[signature].inputs.items()
    }
    rows = {name: len(array) for name, array in inputs.items()}
    if len(set(rows.values())) > 1:
        received = ", ".join(f"{count} {name}" for name, count in rows.items())
        raise UserError(f"{signature}: expected as many rows of each, received {received}")
    if not all(rows.values()):
        raise UserError(f"{signature}: expected at least one row, received none")
    return inputs


def _checked(name: str, value: Any, tensor: TensorContract) -> np.ndarray:
    kinds, what = _KINDS[tensor.dtype]
    shape = f"[{', '.join(map(str, tensor.shape))}]"
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of several lengths
        raise UserError(f"{name}: expected {what} {shape}, received rows that differ in length") from error
    if array.size and array.dtype.kind not in kinds:
        raise UserError(f"{name}: expected {what} {shape}, received {_type_of(array)}")
    fixed = [(size, got) for size, got in zip(tensor.shape, array.shape, strict=False) if isinstance(size, int)]
    if array.ndim != len(tensor.shape) or any(size != got for size, got in fixed):
        raise UserError(f"{name}: expected {what} {shape}, received shape {list(array.shape)}")
    if tensor.dtype == "float32":
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
            array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise UserError(f"{name}: expected finite float32 numbers, received others")
        return array
    limits = np.iinfo(tensor.dtype)
    if array.size and not (limits.min <= int(array.min()) and int(array.max()) <= limits.max):
        raise UserError(
            f"{name}: expected numbers that {tensor.dtype} holds, received {int(array.min())} to {array.max()}"
        )
    return array.astype(tensor.dtype)


def _type_of(array: np.ndarray) -> str:
    return "text" if array.dtype.kind in "SU" else array.dtype.name
