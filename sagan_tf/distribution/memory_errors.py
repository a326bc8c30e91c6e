"""Too little memory, whatever way TensorFlow reports it, as one line for the user."""

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
"""Parts of the messages of cuDNN, cuBLAS and the driver when a GPU has no memory left; the kinds of error differ."""


@contextlib.contextmanager
def explain_memory_errors(activity: str, remedy: str) -> Iterator[None]:
    """Enter a context, or decorate a function, in which too little memory is a `UserError`.

    Args:
        activity: What ran out of memory, for the start of the message.
        remedy: What the user can do about it, for the end of the message.
    """
    try:
        yield
    except (MemoryError, RuntimeError, tf.errors.OpError) as error:
        explained = memory_error(error, activity, remedy)
        if explained is None:
            raise
        raise explained from error


def memory_error(error: Exception, activity: str, remedy: str) -> UserError | None:
    """Return the error for the user if `error` is about memory, else None.

    Args:
        error: Anything that a computation raised.
        activity: What ran out of memory, for the start of the message.
        remedy: What the user can do about it, for the end of the message.
    """
    message = str(error)
    if _FULL_GPU.search(message):
        return UserError(
            f"{activity}: expected a GPU with enough free memory, received one without; {remedy}; or, if other "
            "processes fill it (nvidia-smi lists them), choose other GPUs by CUDA_VISIBLE_DEVICES (-1: the CPU)"
        )
    if isinstance(error, tf.errors.ResourceExhaustedError) and _OUT_OF_MEMORY.search(message):
        wanted = re.search(r"shape\[([\d,]+)\]", message)
        tensor = f" for a tensor of {wanted[1].replace(',', ' x ')}" if wanted else ""
        return UserError(f"{activity}: expected enough memory, received too little{tensor}; {remedy}")
    if isinstance(error, MemoryError):
        return UserError(f"{activity}: expected enough memory, received too little; {remedy}")
    return None
