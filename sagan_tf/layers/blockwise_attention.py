"""Softmax attention, dense and in blocks of queries.

The dense form keeps its map, a number for every query and key, from the forward to the backward pass. In blocks, some
queries at a time meet all keys, and the backward pass computes their part of the map again: a block's size is fixed,
so memory grows linearly with the number of locations.

References: Rabe & Staats, Self-attention does not need O(n^2) memory, 2021 (arXiv:2112.05682); for the backward pass
Dao et al., FlashAttention, NeurIPS 2022, appendix B (arXiv:2205.14135).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

# Of one image. Measured on two cores, forward and backward: up to here blocks cost time, 5 to 25 %; from four times
# this size on they are as fast or faster, beside the memory.
LARGEST_DENSE_MAP_BYTES = 16 * 2**20
# Of a block's part of the map, of which some three are alive at once. Smaller ones pay for more turns of the loop,
# larger ones leave the processor's cache.
BLOCK_BYTES = 8 * 2**20
_FLOAT32_BYTES = 4


def has_large_map(queries: int, keys: int) -> bool:
    """Return whether the map of one image, [queries, keys], is so large that it is better computed in blocks."""
    return queries * keys * _FLOAT32_BYTES > LARGEST_DENSE_MAP_BYTES


def dense_attention(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """softmax(query key^T) value, and the map softmax(query key^T).

    Args:
        query: float32 [..., queries, channels].
        key: float32 [..., keys, channels].
        value: float [..., keys, value channels].

    Returns:
        [..., queries, value channels] of the values' dtype, and float32 [..., queries, keys].
    """
    attention = tf.nn.softmax(tf.matmul(query, key, transpose_b=True))
    return tf.matmul(tf.cast(attention, value.dtype), value), attention


def blockwise_attention(
    query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, block_bytes: int = BLOCK_BYTES
) -> tf.Tensor:
    """Compute what `dense_attention` computes, without the whole map.

    Args:
        query: float32 [batch, queries, channels]; here and below only the batch may be unknown.
        key: float32 [batch, keys, channels].
        value: float [batch, keys, value channels].
        block_bytes: largest size of a block's part of the map; one query's part may be larger.

    Returns:
        [batch, queries, value channels] of the values' dtype.

    Raises:
        LookupError: when a second derivative is asked for.
    """
    rows = _block_rows(query.shape[1], key.shape[1], block_bytes)

    @tf.custom_gradient
    def attend(
        query: tf.Tensor, key: tf.Tensor, value: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], list[tf.Tensor]]]:
        output_spec = tf.TensorSpec([query.shape[1], value.shape[2]], value.dtype)
        outputs = _map(lambda image: _attend(rows, *image), (query, key, value), output_spec)

        def differentiate(upstream: tf.Tensor) -> list[tf.Tensor]:
            gradients = _map(
                lambda image: _differentiate(rows, *image),
                (query, key, value, outputs, upstream),
                [tf.TensorSpec(tensor.shape[1:], tensor.dtype) for tensor in (query, key, value)],
            )
            # `outputs` is a constant to whoever differentiates this again: the result would be wrong without a word.
            message = "attention in blocks has no second derivative; SelfAttention2D(blockwise=False) has"
            return [tf.raw_ops.PreventGradient(input=gradient, message=message) for gradient in gradients]

        return outputs, differentiate

    return attend(query, key, value)


def _attend(rows: int, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Of one image, whose tensors are [locations, channels], `rows` queries at a time."""
    output_spec = tf.TensorSpec([rows, value.shape[1]], value.dtype)
    blocks = _map(lambda block: dense_attention(block, key, value)[0], _cut(query, rows), output_spec)
    return _joined(blocks, query.shape[0])


def _differentiate(
    rows: int, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, outputs: tf.Tensor, upstream: tf.Tensor
) -> list[tf.Tensor]:
    """Gradients with respect to query, key and value of one image; in FlashAttention's letters dQ, dK, dV.

    With P the map, O the outputs and dO = `upstream`: dV = P^T dO; dP = dO V^T; the logits' gradient is
    dS = P * (dP - D), where D = rowsum(P * dP) = rowsum(dO * O) = `mean`; dQ = dS K; dK = dS^T Q.
    In float32 whatever the values' dtype: keys and values sum over all blocks.
    """
    value_dtype, value, upstream = value.dtype, tf.cast(value, tf.float32), tf.cast(upstream, tf.float32)
    mean = tf.reduce_sum(upstream * tf.cast(outputs, tf.float32), -1, keepdims=True)
    query_blocks, upstream_blocks, mean_blocks = _cut(query, rows), _cut(upstream, rows), _cut(mean, rows)
    num_blocks = query_blocks.shape[0]

    def add_block(
        index: tf.Tensor, to_query: tf.TensorArray, to_key: tf.Tensor, to_value: tf.Tensor
    ) -> tuple[tf.Tensor, tf.TensorArray, tf.Tensor, tf.Tensor]:
        block, from_outputs = query_blocks[index], upstream_blocks[index]
        attention = tf.nn.softmax(tf.matmul(block, key, transpose_b=True))
        to_logits = attention * (tf.matmul(from_outputs, value, transpose_b=True) - mean_blocks[index])
        to_query = to_query.write(index, tf.matmul(to_logits, key))
        to_key += tf.matmul(to_logits, block, transpose_a=True)
        to_value += tf.matmul(attention, from_outputs, transpose_a=True)
        return index + 1, to_query, to_key, to_value

    to_query = tf.TensorArray(tf.float32, num_blocks, element_shape=query_blocks.shape[1:])
    _, to_query, to_key, to_value = tf.while_loop(
        lambda index, *_: index < num_blocks,
        add_block,
        (0, to_query, tf.zeros_like(key), tf.zeros_like(value)),
        parallel_iterations=1,
    )
    return [_joined(to_query.stack(), query.shape[0]), to_key, tf.cast(to_value, value_dtype)]


def _map(function: Callable[[Any], Any], elements: Any, output_spec: Any) -> Any:
    """`tf.map_fn`, one after another: side by side, their memory would add up."""
    return tf.map_fn(function, elements, parallel_iterations=1, fn_output_signature=output_spec)


def _block_rows(queries: int, keys: int, block_bytes: int) -> int:
    """Queries of one block: as many as fit, spread evenly over the blocks so that little is filled up."""
    fitting = max(block_bytes // (keys * _FLOAT32_BYTES), 1)
    num_blocks = math.ceil(queries / fitting)
    return math.ceil(queries / num_blocks)


def _cut(features: tf.Tensor, rows: int) -> tf.Tensor:
    """[locations, channels] -> [blocks, rows, channels], the last block filled up with zeros.

    Queries of zeros do no harm: what they gather is dropped, and as nothing comes back their gradients are zero.
    """
    locations, channels = features.shape
    num_blocks = math.ceil(locations / rows)
    filled = tf.pad(features, [[0, num_blocks * rows - locations], [0, 0]])
    return tf.reshape(filled, [num_blocks, rows, channels])


def _joined(blocks: tf.Tensor, locations: int) -> tf.Tensor:
    """Apply the inverse of `_cut`."""
    return tf.reshape(blocks, [-1, blocks.shape[2]])[:locations]
