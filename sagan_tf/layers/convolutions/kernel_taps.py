"""Sums of a kernel's taps, which every form of a convolution except the plain one uses in place of the taps."""

from __future__ import annotations

import contextlib

import numpy as np
import tensorflow as tf

from sagan_tf.layers.convolutions.tiles import combine


def combine_taps(kernel: tf.Tensor, combinations: np.ndarray, after: tf.Tensor) -> tf.Tensor:
    """Compute linear combinations of a kernel's taps.

    Args:
        kernel: Float [3, 3, inputs, outputs].
        combinations: [n, 9], coefficients of the taps.
        after: Tensor that the computation waits for, see `schedule_kernel_transform`.

    Returns:
        [n, inputs, outputs] of the kernel's dtype.
    """
    with schedule_kernel_transform(kernel, after):
        return tf.reshape(combine(combinations, tf.reshape(kernel, [9, -1])), [-1, *kernel.shape[2:]])


def compute_kernel_gradient(tap_gradients: tf.Tensor, combinations: np.ndarray) -> tf.Tensor:
    """Apply the transpose of `combine_taps`: [n, i, o] to [3, 3, i, o]."""
    kernel_gradient = combine(combinations.T, tf.reshape(tap_gradients, [len(combinations), -1]))
    return tf.reshape(kernel_gradient, [3, 3, *tap_gradients.shape[1:]])


def schedule_kernel_transform(kernel: tf.Tensor, after: tf.Tensor) -> contextlib.AbstractContextManager[None]:
    """Return a context that decides when a function of a kernel is computed.

    If the value of the kernel is known while a graph is built, the function is computed once at that time, and its
    result becomes a constant of the graph in place of the kernel. Otherwise the function waits for `after`; without
    this dependency, a training step would begin by transforming all kernels of the network, and keep the results until
    they are used.
    """
    known = hasattr(kernel, "numpy") and not tf.executing_eagerly()
    return tf.init_scope() if known else tf.control_dependencies([after])
