"""What TensorFlow computes on, where a layer has another form for it."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator

import tensorflow as tf

_logger = logging.getLogger("sagan_tf")
_assumed_kind: str | None = None
"""What `assume_device` names. A variable of the module, since replicas are traced in threads of their own."""


@contextlib.contextmanager
def assume_device(kind: str) -> Iterator[None]:
    """Trace layers in the forms that they have on another kind of device.

    What is traced in this context can be counted, inspected or lowered on a machine without such a device. It can be
    run there too, where the forms differ in speed and rounding only. XLA is taken to compile for a GPU.

    Args:
        kind: `CPU`, `GPU` or `TPU`.
    """
    global _assumed_kind
    outer, _assumed_kind = _assumed_kind, kind
    can_compile_for_gpu.cache_clear()
    try:
        yield
    finally:
        _assumed_kind = outer
        can_compile_for_gpu.cache_clear()


def has_accelerator() -> bool:
    """Return whether TensorFlow computes on a GPU or TPU."""
    if _assumed_kind is not None:
        return _assumed_kind != "CPU"
    return any(device.device_type in ("GPU", "TPU") for device in tf.config.list_logical_devices())


@functools.cache
def can_compile_for_gpu() -> bool:
    """Return whether TensorFlow has a GPU, and XLA what it needs to compile for it.

    A TPU is left out, since all that runs there is compiled anyway. XLA needs files of the CUDA toolkit that TensorFlow
    itself does without: a small function is compiled to find out whether they are there. The answer is that of the
    first call.
    """
    if _assumed_kind is not None:
        return _assumed_kind == "GPU"
    if not any(device.device_type == "GPU" for device in tf.config.list_logical_devices()):
        return False
    try:
        # Not as a part of the graph or the replica that may be under construction.
        with tf.init_scope(), tf.device("GPU:0"):
            tf.function(lambda x: x + 1.0, jit_compile=True)(tf.zeros([]))
    except tf.errors.OpError as error:
        reason = str(error).splitlines()[0]
        _logger.warning("XLA cannot compile for this GPU; spectral normalization will be slower: %s", reason)
        return False
    return True
