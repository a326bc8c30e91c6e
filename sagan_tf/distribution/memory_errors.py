"""Conversion of TensorFlow's errors about memory to one line for the user."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from sagan_tf.errors import UserError

_OUT_OF_MEMORY = re.compile("OOM|alloc|memory", re.IGNORECASE)
_FULL_GPU = re.compile(
    r"No algorithm worked|CUDA_ERROR_OUT_OF_MEMORY|CUDNN_STATUS_ALLOC_FAILED|CUBLAS_STATUS_ALLOC_FAILED|"
    r"cudaGetDevice\(\) failed. Status: out of memory|CUBLAS_STATUS_NOT_INITIALIZED",
    re.IGNORECASE,
)
"""Parts of the messages of cuDNN, cuBLAS and the driver when a GPU has no memory left; the error types differ."""


@contextlib.contextmanager
def explain_memory_errors(activity: str, remedy: str) -> Iterator[None]:
    """Convert errors about memory that are raised inside the context.

    It is also a decorator of functions.

    Args:
        activity: The activity that ran out of memory, for the start of the message.
        remedy: Advice for the user, for the end of the message.

    Raises:
        UserError: The memory of the machine or of a GPU does not suffice.
    """
    try:
        yield
    except (MemoryError, RuntimeError, tf.errors.OpError) as error:
        explained = convert_memory_error(error, activity, remedy)
        if explained is None:
            raise
        raise explained from error


def convert_memory_error(error: Exception, activity: str, remedy: str) -> UserError | None:
    """Convert an error about memory to an error for the user.

    Args:
        error: An error of a computation.
        activity: The activity that ran out of memory, for the start of the message.
        remedy: Advice for the user, for the end of the message.

    Returns:
        The error for the user; None if the error is not about memory.
    """
    message = str(error)
    if _FULL_GPU.search(message):
        return UserError(
            f"{activity}: the GPU does not have enough free memory; {remedy}; or, if other processes fill it "
            "(nvidia-smi lists them), select other GPUs with CUDA_VISIBLE_DEVICES (-1: the CPU)"
        )
    if isinstance(error, tf.errors.ResourceExhaustedError) and _OUT_OF_MEMORY.search(message):
        shape = re.search(r"shape\[([\d,]+)\]", message)
        tensor = f" for a tensor of shape {shape[1].replace(',', ' x ')}" if shape else ""
        return UserError(f"{activity}: there is not enough memory{tensor}; {remedy}")
    if isinstance(error, MemoryError):
        return UserError(f"{activity}: there is not enough memory; {remedy}")
    return None
