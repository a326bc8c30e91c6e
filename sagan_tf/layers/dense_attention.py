"""Softmax attention with the whole attention map in memory, and a gradient with few passes over the map.

In the notation of FlashAttention, P is the attention map (a weight for every query and key), O = P V are the outputs
and dO is their gradient. The gradient of the logits is dS = P * (dP - D) with dP = dO V^T and D = rowsum(P * dP); the
row sums of dS are 0. D = rowsum(dO * O) can be computed without the map, and [dO, -D] [V, 1]^T gives dP - D in one
matrix product. Besides matrix products, only one pass over the map is left: the multiplication by P. TensorFlow's
gradient of softmax takes four passes.

Rounding makes this D differ from the exact row sum, by an error that is the same for all keys of a query. dQ = dS K
multiplies the error by the mean key, and dK accumulates it over queries. Keys and values are far from 0 on average: by
eight and seventeen standard deviations in a discriminator of TF-GAN. With bfloat16, the error of dQ is then ten times
as large as dQ itself. `compute_attention_gradients` therefore restores row sums of 0, which makes the gradients about
as accurate as TensorFlow's, or more accurate.

Reference: Dao et al., FlashAttention, NeurIPS 2022, appendix B (arXiv:2205.14135).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from sagan_tf.layers import accelerators

Gradients = tuple[tf.Tensor, tf.Tensor, tf.Tensor]

# The matrix units of GPUs read rows in pieces of 16 bytes, which are eight numbers in half precision.
_ALIGNED_COLUMNS = 8


def compute_attention_map(query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Compute softmax(query key^T).

    Half precision is computed in float32, because the logits have no 1/sqrt(d) scale and would overflow float16, and
    because softmax adds up small terms.

    Args:
        query: Float [..., queries, channels].
        key: Float [..., keys, channels], of the query's dtype.

    Returns:
        [..., queries, keys], float64 for float64 and float32 for all other dtypes.
    """
    dtype = choose_accumulation_dtype(query.dtype)
    return tf.nn.softmax(tf.matmul(tf.cast(query, dtype), tf.cast(key, dtype), transpose_b=True))


def dense_attention(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute softmax(query key^T) value, and the map softmax(query key^T).

    Both results can be differentiated any number of times. In half precision, the copy of the map that is kept for the
    first derivative of the outputs has the dtype of the values.

    Args:
        query: Float [..., queries, channels].
        key: Float [..., keys, channels], of the query's dtype.
        value: Float [..., keys, value channels], of the query's dtype.

    Returns:
        The outputs, [..., queries, value channels] of the operands' dtype, and the map as `compute_attention_map`
        returns it.
    """
    attention = compute_attention_map(query, key)
    weights = tf.cast(attention, value.dtype)
    outputs = tf.matmul(weights, value)
    if has_rounded_products(value.dtype):
        # For exact products, measured on two CPU cores, the columns that restore row sums cost the time that the passes
        # save.
        outputs = _attach_gradients(query, key, value, weights, outputs)
    return outputs, attention


@tf.custom_gradient
def _attach_gradients(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, weights: tf.Tensor, outputs: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor | None, ...]]]:
    """Return `outputs` with the gradients of `compute_attention_gradients`.

    The gradient depends only on the arguments of this function, which ordinary operations have computed. A second
    derivative therefore flows through all of them, weights and outputs included.
    """

    def differentiate(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        return *compute_attention_gradients(query, key, value, weights, outputs, upstream), None, None

    return tf.identity(outputs), differentiate


def compute_attention_gradients(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    weights: tf.Tensor,
    outputs: tf.Tensor,
    upstream: tf.Tensor,
) -> Gradients:
    """Differentiate attention with respect to query, key and value.

    Args:
        query: Float [..., queries, channels].
        key: Float [..., keys, channels], of the query's dtype.
        value: Float [..., keys, value channels], of the query's dtype.
        weights: [..., queries, keys], the map in the dtype of the values.
        outputs: [..., queries, value channels], the product of weights and values.
        upstream: Gradient of the outputs, of their shape and dtype.

    Returns:
        The gradients of query, key and value (dQ, dK and dV of FlashAttention), in the dtype of the operands.
    """
    rounded, accumulation_dtype = has_rounded_products(value.dtype), choose_accumulation_dtype(value.dtype)
    mean = tf.reduce_sum(
        tf.cast(upstream, accumulation_dtype) * tf.cast(outputs, accumulation_dtype), -1, keepdims=True
    )
    to_weights = tf.matmul(
        _append_column(upstream, -mean, aligned=rounded),
        _append_ones(value, aligned=rounded),
        transpose_b=True,
    )
    # These products underflow in float16; bfloat16 has the exponent range of float32.
    dtype = tf.float32 if value.dtype == tf.float16 else value.dtype
    to_logits = tf.cast(weights, dtype) * tf.cast(to_weights, dtype)
    # A shift of all keys changes no exact result, but the mean key would multiply the errors of the row sums.
    key = tf.cast(key, accumulation_dtype)
    key = tf.cast(key - tf.reduce_mean(key, -2, keepdims=True), value.dtype)
    if rounded:
        return _restore_row_sums(query, key, weights, to_logits, upstream)
    to_key, to_value = tf.matmul(to_logits, query, transpose_a=True), tf.matmul(weights, upstream, transpose_a=True)
    return tf.matmul(to_logits, key), to_key, to_value


def _restore_row_sums(
    query: tf.Tensor, key: tf.Tensor, weights: tf.Tensor, to_logits: tf.Tensor, upstream: tf.Tensor
) -> Gradients:
    """Compute the gradients of query, key and value with row sums of 0.

    The row sums r = rowsum(dS) are subtracted in proportion to the weights: dS - r * P. This gives
    dQ = dS K - r * (P K) and dK = dS^T Q - P^T (r * Q), which only adds columns to products and needs no further pass
    over the map.
    """
    dtype, channels = to_logits.dtype, key.shape[-1]
    extended_key = _append_ones(key, aligned=True)
    to_query = tf.matmul(to_logits, tf.cast(extended_key, dtype))
    to_query, row_sums = to_query[..., :channels], to_query[..., channels : channels + 1]
    to_query -= row_sums * tf.cast(tf.matmul(weights, key), dtype)
    excess = tf.cast(row_sums, query.dtype) * query
    from_outputs = tf.matmul(weights, tf.concat([upstream, excess], -1), transpose_a=True)
    to_value, to_key_excess = tf.split(from_outputs, [upstream.shape[-1], channels], -1)
    to_key = tf.matmul(to_logits, tf.cast(query, dtype), transpose_a=True) - tf.cast(to_key_excess, dtype)
    return tf.cast(to_query, query.dtype), tf.cast(to_key, key.dtype), to_value


def has_rounded_products(dtype: tf.DType) -> bool:
    """Return whether matrix products of `dtype` are less precise than float32.

    True for half precision, and on accelerators also for float32: by default GPUs multiply it in TensorFloat-32 and
    TPUs in bfloat16.
    """
    if dtype == tf.float64:
        return False
    return dtype != tf.float32 or accelerators.has_accelerator()


def choose_accumulation_dtype(dtype: tf.DType) -> tf.DType:
    """Return the dtype of sums over locations: float64 for float64, otherwise float32."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def _append_column(features: tf.Tensor, column: tf.Tensor, aligned: bool) -> tf.Tensor:
    """Append a column [..., 1] to features [..., channels].

    If `aligned`, the column is padded with zeros to `_ALIGNED_COLUMNS` columns.
    """
    if aligned:
        column = _pad_columns(column, _ALIGNED_COLUMNS - 1, 0)
    return tf.concat([features, tf.cast(column, features.dtype)], -1)


def _append_ones(features: tf.Tensor, aligned: bool) -> tf.Tensor:
    """Append a column of ones; see `_append_column`.

    Padding is used because TensorFlow stores concatenated constants in the graph: 8 MB for a batch of 256 at 32 x 32.
    """
    features = _pad_columns(features, 1, 1)
    return _pad_columns(features, _ALIGNED_COLUMNS - 1, 0) if aligned else features


def _pad_columns(features: tf.Tensor, columns: int, value: int) -> tf.Tensor:
    """Append columns that are filled with a value."""
    return tf.pad(features, [*[[0, 0]] * (features.shape.rank - 1), [0, columns]], constant_values=value)
