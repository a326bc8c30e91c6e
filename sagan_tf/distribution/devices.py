"""Settings of TensorFlow for this process's devices: GPU memory, TensorFloat-32, deterministic operations."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf

_GROWTH_VARIABLE = "TF_FORCE_GPU_ALLOW_GROWTH"


def take_gpu_memory_as_needed() -> None:
    """Let TensorFlow take GPU memory as it needs it, so that several processes can share a GPU.

    By default it takes all memory of every GPU at the start: no run can then be sampled or evaluated while it trains.
    TensorFlow's own variable TF_FORCE_GPU_ALLOW_GROWTH decides where it is set (`false`: all memory at once). A process
    that has already used its GPUs keeps what it has.
    """
    if _GROWTH_VARIABLE in os.environ:
        return
    with contextlib.suppress(RuntimeError):  # TensorFlow has started
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)


def use_one_gpu() -> None:
    """Hide all GPUs but the first visible one; otherwise TensorFlow would start on all of them.

    A process that has already used its GPUs keeps them.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices(tf.config.get_visible_devices("GPU")[:1], "GPU")


def use_no_gpu() -> None:
    """Compute on the CPU, whatever GPUs there are; a process that has already used its GPUs keeps them."""
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")


def prepare_for_inference() -> None:
    """Prepare this process for a result that should be the same on every device: exact float32, shared GPUs."""
    take_gpu_memory_as_needed()
    tf.config.experimental.enable_tensor_float_32_execution(False)


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Enter a context in which float32 products are computed in float32.

    GPUs from NVIDIA's Ampere on multiply in TensorFloat-32 by default, with 10 bits of mantissa in place of 23. Images
    of one generator, computed in two correct ways, then differ by 5e-3 where pixels are in [-1, 1].
    """
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
