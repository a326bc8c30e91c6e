"""Emulation of TensorFloat-32 on a machine without a GPU.

The float32 factors of products are rounded to 10 bits of mantissa, as NVIDIA GPUs from Ampere on do by default. Sums
stay float32, as on these GPUs. TensorFlow's setting (`tf.config.experimental.enable_tensor_float_32_execution`) applies
when an operation is created.
"""

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

_DROPPED_BITS = 13
"""float32 has 23 bits of mantissa, TF32 has 10."""


def emulate_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let TensorFlow's convolutions and matrix products compute in TF32 where it is enabled."""
    for module, name in [
        (tf.nn, "conv2d"),
        (tf.nn, "conv2d_transpose"),
        (tf.nn, "convolution"),
        (tf, "matmul"),
        (tf.linalg, "matmul"),
    ]:
        monkeypatch.setattr(module, name, _round_factors(getattr(module, name)))


def _round_factors(multiply: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    def multiply_in_tf32(first: Any, second: Any, *arguments: Any, **options: Any) -> tf.Tensor:
        if tf.config.experimental.tensor_float_32_execution_enabled():
            first, second = round_to_tf32(first), round_to_tf32(second)
        return multiply(first, second, *arguments, **options)

    return multiply_in_tf32


def round_to_tf32(value: Any) -> tf.Tensor:
    """Round float32 to the nearest TF32 number, and ties to even; other types are not changed."""
    value = tf.convert_to_tensor(value)
    return _round(value) if value.dtype == tf.float32 else value


@tf.custom_gradient
def _round(value: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    bits = tf.bitcast(value, tf.int32)
    is_odd = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, _DROPPED_BITS), 1)
    half = 2 ** (_DROPPED_BITS - 1) - 1
    kept = tf.bitwise.bitwise_and(bits + half + is_odd, ~(2**_DROPPED_BITS - 1))
    rounded = tf.bitcast(kept, tf.float32)
    rounded.set_shape(value.shape)
    return rounded, lambda gradient: gradient
