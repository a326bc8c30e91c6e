"""Softmax attention with its whole map in memory, and a gradient that goes over the map as little as it can.

In the letters of FlashAttention, P is the map of weights, a number for every query and key, O = P V the outputs and dO
their gradient. The gradient of the logits is dS = P * (dP - D) with dP = dO V^T and D = rowsum(P * dP), whose row sums
are 0. D = rowsum(dO * O) does not need the map, and [dO, -D] [V, 1]^T is dP - D in one matrix product: one pass over
the map, the multiplication, remains beside the products. TensorFlow's gradient of softmax takes four.

Rounding separates D from the sum that it stands for, by an error that all keys of a query share. dQ = dS K multiplies
it by the mean key: with outputs rounded to bfloat16, and keys and values that are far from 0 on average, dQ was found
wrong by 90 %. The cure is to restore row sums of 0, see `attention_gradients`.

Reference: Dao et al., FlashAttention, NeurIPS 2022, appendix B (arXiv:2205.14135).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from sagan_tf.layers import resampling_convolution

Gradients = tuple[tf.Tensor, tf.Tensor, tf.Tensor]

# Matrix units read operands in pieces of this size; rows of another length make a GPU's products slower.
_ALIGNMENT_BYTES = 16


def attention_map(query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Compute softmax(query key^T).

    Logits have no 1/sqrt(d) scale and overflow float16, and softmax sums small terms: half precision is computed in
    float32.

    Args:
        query: float [..., queries, channels].
        key: float [..., keys, channels], of the query's dtype.

    Returns:
        [..., queries, keys], float64 for float64 and float32 for all other dtypes.
    """
    dtype = wide_dtype(query.dtype)
    return tf.nn.softmax(tf.matmul(tf.cast(query, dtype), tf.cast(key, dtype), transpose_b=True))


def dense_attention(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute softmax(query key^T) value, and the map softmax(query key^T).

    Both results can be differentiated any number of times. For the first derivative of the outputs, the map is kept in
    the dtype of the values.

    Args:
        query: float [..., queries, channels].
        key: float [..., keys, channels], like `value` of the query's dtype.
        value: float [..., keys, value channels].

    Returns:
        [..., queries, value channels] of the operands' dtype, and the map as `attention_map` returns it.
    """
    attention = attention_map(query, key)
    weights = tf.cast(attention, value.dtype)
    return _with_gradients(query, key, value, weights, tf.matmul(weights, value)), attention


@tf.custom_gradient
def _with_gradients(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, weights: tf.Tensor, outputs: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor | None, ...]]]:
    """Return `outputs`, whose gradient goes to query, key and value by `attention_gradients`.

    The gradient is a function of this function's arguments alone, and those were computed by ordinary operations. So a
    second derivative finds its way through all of them, weights and outputs included.
    """

    def differentiate(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        return *attention_gradients(query, key, value, weights, outputs, upstream), None, None

    return tf.identity(outputs), differentiate


def attention_gradients(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    weights: tf.Tensor,
    outputs: tf.Tensor,
    upstream: tf.Tensor,
) -> Gradients:
    """Differentiate attention with respect to query, key and value; in FlashAttention's letters dQ, dK, dV.

    Where products round their operands, the row sums r = rowsum(dS), which ought to be 0, are restored to 0:
    dS - r * P has them, so dQ = dS K - r * (P K) and dK = dS^T Q - P^T (r * Q). Elsewhere r is as small as float32's
    rounding, and a shift of all keys, which changes no result, keeps the mean key from multiplying it:
    dQ = dS (K - mean(K)). Both add only columns to products.

    Args:
        query, key, value: as for `dense_attention`.
        weights: [..., queries, keys], the map in the dtype of the values.
        outputs: [..., queries, value channels], weights value.
        upstream: gradient of the outputs.

    Returns:
        Gradients in the dtype of the operands.
    """
    rounded = has_rounded_products(value.dtype)
    wide = wide_dtype(value.dtype)
    mean = tf.reduce_sum(tf.cast(upstream, wide) * tf.cast(outputs, wide), -1, keepdims=True)
    to_weights = tf.matmul(
        _append_column(upstream, tf.cast(-mean, upstream.dtype), rounded),
        _append_column(value, tf.ones_like(value[..., :1]), rounded),
        transpose_b=True,
    )
    # float16 has no numbers as small as these products; bfloat16 has the exponents of float32.
    dtype = tf.float32 if value.dtype == tf.float16 else value.dtype
    to_logits = tf.cast(weights, dtype) * tf.cast(to_weights, dtype)
    if rounded:
        return _restore_row_sums(query, key, weights, to_logits, upstream)
    to_query = tf.matmul(to_logits, key - tf.reduce_mean(key, -2, keepdims=True))
    to_key = tf.matmul(to_logits, query, transpose_a=True)
    return to_query, to_key, tf.matmul(weights, upstream, transpose_a=True)


def _restore_row_sums(
    query: tf.Tensor, key: tf.Tensor, weights: tf.Tensor, to_logits: tf.Tensor, upstream: tf.Tensor
) -> Gradients:
    """Finish `attention_gradients` where the row sums of `to_logits` must be restored to 0."""
    dtype, channels = to_logits.dtype, key.shape[-1]
    wide_key = tf.cast(_append_column(key, tf.ones_like(key[..., :1]), aligned=True), dtype)
    to_query = tf.matmul(to_logits, wide_key)
    row_sums = to_query[..., channels : channels + 1]
    to_query = to_query[..., :channels] - row_sums * tf.cast(tf.matmul(weights, key), dtype)
    excess = tf.cast(row_sums, query.dtype) * query
    from_outputs = tf.matmul(weights, tf.concat([upstream, excess], -1), transpose_a=True)
    to_value, to_key_excess = tf.split(from_outputs, [upstream.shape[-1], channels], -1)
    to_key = tf.matmul(to_logits, tf.cast(query, dtype), transpose_a=True) - tf.cast(to_key_excess, dtype)
    return tf.cast(to_query, query.dtype), tf.cast(to_key, key.dtype), to_value


def has_rounded_products(dtype: tf.DType) -> bool:
    """Return whether matrix products of `dtype` are rounded more than to float32.

    Half precision is. On accelerators float32 is, too: GPUs multiply it in TensorFloat-32 and TPUs in bfloat16, unless
    they are told not to.
    """
    if dtype == tf.float64:
        return False
    return dtype != tf.float32 or resampling_convolution.has_accelerator()


def wide_dtype(dtype: tf.DType) -> tf.DType:
    """Return the dtype of sums over locations: float64 for float64, float32 for all other dtypes."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def _append_column(features: tf.Tensor, column: tf.Tensor, aligned: bool) -> tf.Tensor:
    """Return [..., channels + 1] or, with `aligned`, with further columns of zeros up to `_ALIGNMENT_BYTES`."""
    if aligned:
        no_padding = [[0, 0]] * (column.shape.rank - 1)
        column = tf.pad(column, [*no_padding, [0, _ALIGNMENT_BYTES // column.dtype.size - 1]])
    return tf.concat([features, column], -1)
