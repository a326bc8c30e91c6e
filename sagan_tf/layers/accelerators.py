"""The type of device that TensorFlow computes on; some layers compute differently on GPUs and TPUs."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Iterator

import tensorflow as tf

from sagan_tf.layers.power_iteration import estimate_bounded_sigma_compiled

_logger = logging.getLogger("sagan_tf")
_COMPILATION_VARIABLE = "SAGAN_TF_COMPILED_SPECTRAL_NORM"
_assumed_device_type: str | None = None
"""The device type given to `assume_device`. It is global because each replica is traced in its own thread."""


@contextlib.contextmanager
def assume_device(device_type: str) -> Iterator[None]:
    """Trace layers as if TensorFlow computed on another type of device.

    A function traced in this context can be counted, inspected or lowered on a machine without that device. It can also
    be run there if the traced forms differ only in speed and rounding. For `GPU`, XLA is assumed to compile.

    Args:
        device_type: `CPU`, `GPU` or `TPU`.
    """
    global _assumed_device_type
    outer, _assumed_device_type = _assumed_device_type, device_type
    try:
        yield
    finally:
        _assumed_device_type = outer


def has_accelerator() -> bool:
    """Return whether TensorFlow computes on a GPU or TPU."""
    if _assumed_device_type is not None:
        return _assumed_device_type != "CPU"
    return any(device.device_type in ("GPU", "TPU") for device in tf.config.list_logical_devices())


def can_compile_for_gpu() -> bool:
    """Return whether TensorFlow has a GPU that XLA can compile for.

    If so, power iterations are compiled. The answer is False for a TPU because everything that runs there is compiled
    anyway. Set the environment variable SAGAN_TF_COMPILED_SPECTRAL_NORM=0 to turn compilation off.
    """
    return _assumed_device_type == "GPU" if _assumed_device_type is not None else _has_gpu_compiler()


@functools.cache
def _has_gpu_compiler() -> bool:
    """Compile a small power iteration for the GPU and return whether it ran.

    XLA needs files of the CUDA toolkit that TensorFlow itself does not need, so the only reliable check is to compile
    and run something. The result of the first call is kept.
    """
    if os.environ.get(_COMPILATION_VARIABLE) == "0":
        return False
    if not any(device.device_type == "GPU" for device in tf.config.list_logical_devices()):
        return False
    try:
        # Run outside the graph or replica that may be under construction.
        with tf.init_scope(), tf.device("GPU:0"):
            estimate_bounded_sigma_compiled(tf.eye(2), tf.ones([2, 1]), 1, 1e-8, 1e-8)
    except tf.errors.OpError as error:
        reason = str(error).splitlines()[0]
        _logger.warning("XLA cannot compile for this GPU; spectral normalization will be slower: %s", reason)
        return False
    return True
