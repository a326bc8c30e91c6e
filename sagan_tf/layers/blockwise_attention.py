"""Softmax attention in blocks of queries, for attention maps that are too large to be kept in memory.

Each step computes the attention of one block of queries to all keys, and the backward pass computes that part of the
map again. The size of a block is fixed, so memory grows linearly with the number of locations.

References: Rabe & Staats, Self-attention does not need O(n^2) memory, 2021 (arXiv:2112.05682); for the backward pass,
Dao et al., FlashAttention, NeurIPS 2022, appendix B (arXiv:2205.14135).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sagan_tf.layers import accelerators
from sagan_tf.layers.dense_attention import (
    choose_accumulation_dtype,
    compute_attention_gradients,
    compute_attention_map,
)

# For the map of one image. Measured on two CPU cores, forward and backward: up to this size, blocks are 5 to 25 %
# slower; from four times this size on, they are as fast or faster, and save memory.
MAX_DENSE_MAP_BYTES = 16 * 2**20
# For the maps of a batch on an accelerator, where each iteration of a loop has to be launched. A batch of 32 images
# with the largest dense map has this size, so this much memory is needed in any case.
MAX_DENSE_BATCH_BYTES = 32 * MAX_DENSE_MAP_BYTES
_FLOAT32_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Partition of attention into blocks of queries.

    Attributes:
        by_image: Whether a block has queries of a single image, or the same queries of all images of the batch.
        max_bytes: Maximum size of a block's part of the map, in bytes. About three parts are in memory at once. The
            part of a single query may be larger.
    """

    by_image: bool
    max_bytes: int


# Smaller blocks need more loop iterations; larger blocks do not fit into the processor's cache.
IMAGE_BLOCKS = Blocks(by_image=True, max_bytes=8 * 2**20)
# An accelerator needs large blocks: each iteration launches about twenty small programs, at some microseconds each.
BATCH_BLOCKS = Blocks(by_image=False, max_bytes=256 * 2**20)


def has_large_map(queries: int, keys: int) -> bool:
    """Return whether the map of one image, [queries, keys], may be computed in blocks."""
    return queries * keys * _FLOAT32_BYTES > MAX_DENSE_MAP_BYTES


def is_blockwise(batch: int | None, queries: int, keys: int) -> bool:
    """Return whether attention should be computed in blocks.

    If the map of one image is not large, attention is never computed in blocks, so that the existence of a second
    derivative does not depend on the device or the batch size. A large map is computed densely only on an accelerator
    with room for the whole batch.

    Args:
        batch: Number of images; None if it is unknown.
        queries: Number of queries of an image.
        keys: Number of keys of an image.
    """
    if not has_large_map(queries, keys):
        return False
    if choose_blocks(batch).by_image or batch is None:
        return True
    return batch * queries * keys * _FLOAT32_BYTES > MAX_DENSE_BATCH_BYTES


def choose_blocks(batch: int | None) -> Blocks:
    """Return the blocks for a batch on the current device, when a function is traced.

    A batch of one image or of unknown size has the blocks of a CPU on every machine. These are the batches of exported
    models, which may run on another machine than the one that exports them.
    """
    is_training_batch = batch is not None and batch > 1
    return BATCH_BLOCKS if is_training_batch and accelerators.has_accelerator() else IMAGE_BLOCKS


def blockwise_attention(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, blocks: Blocks | None = None) -> tf.Tensor:
    """Compute the outputs of `dense_attention` without the whole map in memory.

    Args:
        query: Float [batch, queries, channels]. All sizes must be known, except for the batch size with `by_image`.
        key: Float [batch, keys, channels], of the query's dtype.
        value: Float [batch, keys, value channels], of the query's dtype.
        blocks: Partition into blocks; None uses `choose_blocks`.

    Returns:
        [batch, queries, value channels] of the operands' dtype.

    Raises:
        LookupError: If a second derivative is requested.
    """
    blocks = blocks or choose_blocks(query.shape[0])
    images = 1 if blocks.by_image else query.shape[0]
    rows = _count_block_rows(query.shape[1], images * key.shape[1], blocks.max_bytes)
    apply = _apply_in_sequence if blocks.by_image else _apply_at_once

    @tf.custom_gradient
    def attend(
        query: tf.Tensor, key: tf.Tensor, value: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], list[tf.Tensor]]]:
        output_spec = tf.TensorSpec([query.shape[1], value.shape[2]], value.dtype)
        outputs = apply(lambda operands: _attend(rows, *operands), (query, key, value), output_spec)

        def differentiate(upstream: tf.Tensor) -> list[tf.Tensor]:
            gradients = apply(
                lambda operands: _differentiate(rows, *operands),
                (query, key, value, outputs, upstream),
                [tf.TensorSpec(tensor.shape[1:], tensor.dtype) for tensor in (query, key, value)],
            )
            # A second derivative would have to go through the loops, which would keep every block in memory.
            message = "attention in blocks has no second derivative; use SelfAttention2D(blockwise=False)"
            return [tf.raw_ops.PreventGradient(input=gradient, message=message) for gradient in gradients]

        return outputs, differentiate

    return attend(query, key, value)


def _attend(rows: int, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Compute attention of [..., locations, channels], `rows` queries at a time."""

    def attend_block(block: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.cast(compute_attention_map(block, key), value.dtype), value)

    output_spec = tf.TensorSpec([*query.shape[:-2], rows, value.shape[-1]], value.dtype)
    return _merge_blocks(
        _apply_in_sequence(attend_block, _split_into_blocks(query, rows), output_spec), query.shape[-2]
    )


def _differentiate(
    rows: int, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, outputs: tf.Tensor, upstream: tf.Tensor
) -> list[tf.Tensor]:
    """Differentiate with respect to query, key and value, `rows` queries at a time.

    The gradients of keys and values are summed over the blocks in float32, for half precision too.
    """
    query_blocks, output_blocks, upstream_blocks = (
        _split_into_blocks(tensor, rows) for tensor in (query, outputs, upstream)
    )
    num_blocks = query_blocks.shape[0]
    dtype = choose_accumulation_dtype(value.dtype)

    def add_block(
        index: tf.Tensor, to_query: tf.TensorArray, to_key: tf.Tensor, to_value: tf.Tensor
    ) -> tuple[tf.Tensor, tf.TensorArray, tf.Tensor, tf.Tensor]:
        block = query_blocks[index]
        weights = tf.cast(compute_attention_map(block, key), value.dtype)
        gradients = compute_attention_gradients(
            block, key, value, weights, output_blocks[index], upstream_blocks[index]
        )
        to_query = to_query.write(index, gradients[0])
        to_key += tf.cast(gradients[1], dtype)
        to_value += tf.cast(gradients[2], dtype)
        return index + 1, to_query, to_key, to_value

    to_query = tf.TensorArray(query.dtype, num_blocks, element_shape=query_blocks.shape[1:])
    _, to_query, to_key, to_value = tf.while_loop(
        lambda index, *_: index < num_blocks,
        add_block,
        (0, to_query, tf.zeros_like(key, dtype), tf.zeros_like(value, dtype)),
        parallel_iterations=1,
    )
    query_gradient = _merge_blocks(to_query.stack(), query.shape[-2])
    return [query_gradient, tf.cast(to_key, key.dtype), tf.cast(to_value, value.dtype)]


def _apply_in_sequence(function: Callable[[Any], Any], elements: Any, output_spec: Any) -> Any:
    """Call a function for one element after another.

    In parallel, the memory of all elements would add up.
    """
    return tf.map_fn(function, elements, parallel_iterations=1, fn_output_signature=output_spec)


def _apply_at_once(function: Callable[[Any], Any], elements: Any, _: Any) -> Any:
    """Call a function with all elements at once."""
    return function(elements)


def _count_block_rows(queries: int, keys: int, max_bytes: int) -> int:
    """Return the number of queries in a block.

    As many queries as fit are spread evenly over the blocks, to reduce padding.
    """
    fitting = max(max_bytes // (keys * _FLOAT32_BYTES), 1)
    num_blocks = math.ceil(queries / fitting)
    return math.ceil(queries / num_blocks)


def _split_into_blocks(features: tf.Tensor, rows: int) -> tf.Tensor:
    """Reshape [..., locations, channels] to [blocks, ..., rows, channels].

    The last block is padded with zeros. Queries of zeros do not change any result: their outputs are dropped, and their
    gradients are zero because their upstream gradients are zero.
    """
    *lead, locations, channels = features.shape
    num_blocks = math.ceil(locations / rows)
    filled = tf.pad(features, [[0, 0]] * len(lead) + [[0, num_blocks * rows - locations], [0, 0]])
    blocks = tf.reshape(filled, [*lead, num_blocks, rows, channels])
    return tf.transpose(blocks, [len(lead), *range(len(lead)), len(lead) + 1, len(lead) + 2]) if lead else blocks


def _merge_blocks(blocks: tf.Tensor, locations: int) -> tf.Tensor:
    """Apply the inverse of `_split_into_blocks`."""
    num_blocks, *lead, rows, channels = blocks.shape
    if lead:
        blocks = tf.transpose(blocks, [*range(1, len(lead) + 1), 0, len(lead) + 1, len(lead) + 2])
    return tf.reshape(blocks, [*lead, num_blocks * rows, channels])[..., :locations, :]
