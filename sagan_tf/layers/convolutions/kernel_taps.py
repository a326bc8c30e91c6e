"""Sums of a kernel's taps, which all but the plain forms of a convolution multiply with in place of the taps."""

from __future__ import annotations

import contextlib

import numpy as np
import tensorflow as tf

from sagan_tf.layers.convolutions.tiles import combined


def combined_taps(kernel: tf.Tensor, combinations: np.ndarray, after: tf.Tensor) -> tf.Tensor:
    """Sums of a kernel's taps, made when `after` is there: [3, 3, i, o] and [n, 9] -> [n, i, o]."""
    with prepared(kernel, after):
        return tf.reshape(combined(combinations, tf.reshape(kernel, [9, -1])), [-1, *kernel.shape[2:]])


def gradient_of_kernel(of_taps: tf.Tensor, combinations: np.ndarray) -> tf.Tensor:
    """Apply the transpose of `combined_taps`: [n, i, o] -> [3, 3, i, o]."""
    of_kernel = combined(combinations.T, tf.reshape(of_taps, [len(combinations), -1]))
    return tf.reshape(of_kernel, [3, 3, *of_taps.shape[1:]])


def prepared(kernel: tf.Tensor, after: tf.Tensor) -> contextlib.AbstractContextManager[None]:
    """A context for what is made of a kernel.

    If a graph knows the kernel's value as it is built, it is made then, once, and becomes a constant of the graph in
    the kernel's place. Otherwise it waits until `after` is there: else a step would begin by making it of all the
    network's kernels, and keep it until it is used.
    """
    known = hasattr(kernel, "numpy") and not tf.executing_eagerly()
    return tf.init_scope() if known else tf.control_dependencies([after])
