"""TensorFlow's settings for the devices of this process: GPU memory, visible GPUs and TensorFloat-32."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf

_GROWTH_VARIABLE = "TF_FORCE_GPU_ALLOW_GROWTH"


def enable_gpu_memory_growth() -> None:
    """Let TensorFlow allocate GPU memory as it needs it.

    Several processes can then share a GPU. By default, TensorFlow allocates all memory of every GPU at the start, so
    that a run could not be sampled or evaluated while it trains. If TensorFlow's own variable TF_FORCE_GPU_ALLOW_GROWTH
    is set, it decides (`false`: all memory at once). A process that has already used its GPUs keeps its setting.
    """
    if _GROWTH_VARIABLE in os.environ:
        return
    with contextlib.suppress(RuntimeError):  # TensorFlow has already started.
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)


def use_one_gpu() -> None:
    """Hide all GPUs but the first visible one.

    Otherwise TensorFlow would start on all of them. A process that has already used its GPUs keeps them.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices(tf.config.get_visible_devices("GPU")[:1], "GPU")


def use_no_gpu() -> None:
    """Hide all GPUs, so that TensorFlow computes on the CPU.

    A process that has already used its GPUs keeps them.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")


def prepare_for_inference() -> None:
    """Prepare this process for results that do not depend on the device.

    Float32 products are computed in float32, and GPU memory is allocated as needed.
    """
    enable_gpu_memory_growth()
    tf.config.experimental.enable_tensor_float_32_execution(False)


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 products in float32 inside the context.

    NVIDIA GPUs from Ampere on multiply in TensorFloat-32 by default, with 10 instead of 23 bits of mantissa. Images of
    the same generator, computed in two correct ways, then differ by 5e-3 where pixels are in [-1, 1].
    """
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
