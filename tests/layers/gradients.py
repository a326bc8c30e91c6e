"""Outputs of a function with the gradients of its arguments, and their comparison."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def outputs_and_gradients(
    function: Callable[..., tf.Tensor], *arguments: Any, others: Sequence[tf.Tensor] = (), upstream_mean: float = 1.0
) -> Any:
    """Return the outputs and the gradients of the arguments and of `others`, for different upstream gradients."""
    tensors = [tf.convert_to_tensor(argument) for argument in arguments]
    sources = [*tensors, *others]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs = function(*tensors)
    upstream = upstream_mean + 0.5 * tf.sin(tf.reshape(tf.range(tf.size(outputs), dtype=tf.float32), tf.shape(outputs)))
    return [outputs, *map(tf.convert_to_tensor, tape.gradient(outputs, sources, tf.cast(upstream, outputs.dtype)))]


def assert_close(actual: Sequence[tf.Tensor], expected: Sequence[tf.Tensor], tolerance: float = 1e-4) -> None:
    """Assert that no tensor differs by more than `tolerance` times its largest value, which is not 0."""
    for pair in zip(actual, expected, strict=True):
        value, reference = (tf.cast(tensor, tf.float64).numpy() for tensor in pair)
        largest = np.abs(reference).max()
        assert value.shape == reference.shape and largest > 0.0
        np.testing.assert_allclose(value, reference, rtol=0.0, atol=tolerance * largest)
