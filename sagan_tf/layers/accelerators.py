"""What TensorFlow computes on, where a layer has another form for it."""

from __future__ import annotations

import functools
import logging

import tensorflow as tf

_logger = logging.getLogger("sagan_tf")


def has_accelerator() -> bool:
    """Return whether TensorFlow computes on a GPU or TPU."""
    return any(device.device_type in ("GPU", "TPU") for device in tf.config.list_logical_devices())


@functools.cache
def can_compile_for_gpu() -> bool:
    """Return whether TensorFlow has a GPU, and XLA what it needs to compile for it.

    A TPU is left out, since all that runs there is compiled anyway. XLA needs files of the CUDA toolkit that TensorFlow
    itself does without: a small function is compiled to find out whether they are there. The answer is that of the
    first call.
    """
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
