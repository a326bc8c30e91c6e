"""Which kind of device TensorFlow computes on: some layers have other forms for GPUs and TPUs."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Iterator

import tensorflow as tf

from sagan_tf.layers.power_iteration import bounded_sigma_compiled

_logger = logging.getLogger("sagan_tf")
_SWITCH = "SAGAN_TF_COMPILED_SPECTRAL_NORM"
_assumed_kind: str | None = None
"""The kind that `assume_device` was given. It is global because each replica is traced in a thread of its own."""


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
    try:
        yield
    finally:
        _assumed_kind = outer


def has_accelerator() -> bool:
    """Return whether TensorFlow computes on a GPU or TPU."""
    if _assumed_kind is not None:
        return _assumed_kind != "CPU"
    return any(device.device_type in ("GPU", "TPU") for device in tf.config.list_logical_devices())


def can_compile_for_gpu() -> bool:
    """Return whether power iterations are compiled: TensorFlow has a GPU, and XLA what it needs to compile for it.

    A TPU is left out, since all that runs there is compiled anyway. SAGAN_TF_COMPILED_SPECTRAL_NORM=0 in the
    environment turns compilation off.
    """
    return _assumed_kind == "GPU" if _assumed_kind is not None else _is_gpu_compiled_for()


@functools.cache
def _is_gpu_compiled_for() -> bool:
    """Find out whether XLA compiles for a GPU; the answer is that of the first call.

    XLA needs files of the CUDA toolkit that TensorFlow itself does without: a small matrix's power iteration is
    compiled and run to find out whether they are there.
    """
    if os.environ.get(_SWITCH) == "0":
        return False
    if not any(device.device_type == "GPU" for device in tf.config.list_logical_devices()):
        return False
    try:
        # Not as a part of the graph or the replica that may be under construction.
        with tf.init_scope(), tf.device("GPU:0"):
            bounded_sigma_compiled(tf.eye(2), tf.ones([2, 1]), 1, 1e-8, 1e-8)
    except tf.errors.OpError as error:
        reason = str(error).splitlines()[0]
        _logger.warning("XLA cannot compile for this GPU; spectral normalization will be slower: %s", reason)
        return False
    return True
