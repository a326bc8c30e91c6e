"""Softmax attention with its whole map in memory, and a gradient that goes over the map as little as it can.

In the letters of FlashAttention, P is the map of weights, a number for every query and key, O = P V the outputs and dO
their gradient. The gradient of the logits is dS = P * (dP - D) with dP = dO V^T and D = rowsum(P * dP), whose row sums
are 0. D = rowsum(dO * O) does not need the map, and [dO, -D] [V, 1]^T is dP - D in one matrix product: one pass over
the map, the multiplication, remains beside the products. TensorFlow's gradient of softmax takes four.

Rounding separates D from the sum that it stands for, by an error that all keys of a query share. dQ = dS K multiplies
it by the mean key, and dK adds it up over queries. Keys and values are far from 0 on average, eight and seventeen
standard deviations in a discriminator of TF-GAN's: there, with bfloat16, dQ is wrong by ten times its size. The cure is
to restore row sums of 0, see `attention_gradients`; gradients are then about as exact as TensorFlow's, or more so.

Reference: Dao et al., FlashAttention, NeurIPS 2022, appendix B (arXiv:2205.14135).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from sagan_tf.layers import accelerators

Gradients = tuple[tf.Tensor, tf.Tensor, tf.Tensor]

# Matrix units of GPUs read rows in pieces of 16 bytes, which are eight numbers of half precision.
_ALIGNED_COLUMNS = 8


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

    Both results can be differentiated any number of times. In half precision, what is kept of the map for the first
    derivative of the outputs is in the dtype of the values.

    Args:
        query: float [..., queries, channels].
        key: float [..., keys, channels], like `value` of the query's dtype.
        value: float [..., keys, value channels].

    Returns:
        [..., queries, value channels] of the operands' dtype, and the map as `attention_map` returns it.
    """
    attention = attention_map(query, key)
    weights = tf.cast(attention, value.dtype)
    outputs = tf.matmul(weights, value)
    if has_rounded_products(value.dtype):
        # Elsewhere, measured on two cores, the columns that restore row sums take the time that the passes save.
        outputs = _with_gradients(query, key, value, weights, outputs)
    return outputs, attention


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

    Args:
        query, key, value: as for `dense_attention`.
        weights: [..., queries, keys], the map in the dtype of the values.
        outputs: [..., queries, value channels], weights value.
        upstream: gradient of the outputs.

    Returns:
        Gradients in the dtype of the operands.
    """
    rounded, wide = has_rounded_products(value.dtype), wide_dtype(value.dtype)
    mean = tf.reduce_sum(tf.cast(upstream, wide) * tf.cast(outputs, wide), -1, keepdims=True)
    to_weights = tf.matmul(
        _append_column(upstream, -mean, aligned=rounded),
        _append_ones(value, aligned=rounded),
        transpose_b=True,
    )
    # float16 has no numbers as small as these products; bfloat16 has the exponents of float32.
    dtype = tf.float32 if value.dtype == tf.float16 else value.dtype
    to_logits = tf.cast(weights, dtype) * tf.cast(to_weights, dtype)
    # A shift of all keys changes no result, but the mean key would multiply the row sums.
    key = tf.cast(key, wide)
    key = tf.cast(key - tf.reduce_mean(key, -2, keepdims=True), value.dtype)
    if rounded:
        return _restore_row_sums(query, key, weights, to_logits, upstream)
    to_key, to_value = tf.matmul(to_logits, query, transpose_a=True), tf.matmul(weights, upstream, transpose_a=True)
    return tf.matmul(to_logits, key), to_key, to_value


def _restore_row_sums(
    query: tf.Tensor, key: tf.Tensor, weights: tf.Tensor, to_logits: tf.Tensor, upstream: tf.Tensor
) -> Gradients:
    """Finish `attention_gradients` with row sums of 0.

    The row sums r = rowsum(dS) are subtracted in proportion to the weights, dS - r * P. That is dQ = dS K - r * (P K)
    and dK = dS^T Q - P^T (r * Q): columns of products, and no pass over the map.
    """
    dtype, channels = to_logits.dtype, key.shape[-1]
    wide_key = _append_ones(key, aligned=True)
    to_query = tf.matmul(to_logits, tf.cast(wide_key, dtype))
    to_query, row_sums = to_query[..., :channels], to_query[..., channels : channels + 1]
    to_query -= row_sums * tf.cast(tf.matmul(weights, key), dtype)
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
    return dtype != tf.float32 or accelerators.has_accelerator()


def wide_dtype(dtype: tf.DType) -> tf.DType:
    """Return the dtype of sums over locations: float64 for float64, float32 for all other dtypes."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def _append_column(features: tf.Tensor, column: tf.Tensor, aligned: bool) -> tf.Tensor:
    """Append a column [..., 1] or, with `aligned`, `_ALIGNED_COLUMNS`, the others of zeros."""
    if aligned:
        column = _pad_columns(column, _ALIGNED_COLUMNS - 1, 0)
    return tf.concat([features, tf.cast(column, features.dtype)], -1)


def _append_ones(features: tf.Tensor, aligned: bool) -> tf.Tensor:
    """Append a column of ones; see `_append_column`.

    TensorFlow would store columns that are concatenated, since their values are known: 8 MB in each graph for a batch
    of 256 at 32 x 32.
    """
    features = _pad_columns(features, 1, 1)
    return _pad_columns(features, _ALIGNED_COLUMNS - 1, 0) if aligned else features


def _pad_columns(features: tf.Tensor, columns: int, value: int) -> tf.Tensor:
    """Append columns that hold `value` everywhere."""
    return tf.pad(features, [*[[0, 0]] * (features.shape.rank - 1), [0, columns]], constant_values=value)
