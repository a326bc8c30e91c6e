"""Softmax attention in blocks of queries, for maps that are too large to be kept.

Some queries at a time meet all keys, and the backward pass computes their part of the map again: a block's size is
fixed, so memory grows linearly with the number of locations.

References: Rabe & Staats, Self-attention does not need O(n^2) memory, 2021 (arXiv:2112.05682); for the backward pass
Dao et al., FlashAttention, NeurIPS 2022, appendix B (arXiv:2205.14135).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sagan_tf.layers import accelerators
from sagan_tf.layers.dense_attention import attention_gradients, attention_map, wide_dtype

# Of one image. Measured on two cores, forward and backward: up to here blocks cost time, 5 to 25 %; from four times
# this size on they are as fast or faster, beside the memory.
LARGEST_DENSE_MAP_BYTES = 16 * 2**20
# Of a batch on an accelerator, where each turn of a loop has to be launched. It is the size of the largest dense map of
# an image in a batch of 32, which takes that memory anyway.
LARGEST_DENSE_BATCH_BYTES = 32 * LARGEST_DENSE_MAP_BYTES
_FLOAT32_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Blocks:
    """How attention is cut into blocks.

    Attributes:
        by_image: Whether a block holds queries of one image, or the same queries of all images of the batch.
        max_bytes: Largest size of a block's part of the map, of which some three are alive at once; the part of a
            single query may be larger.
    """

    by_image: bool
    max_bytes: int


# Smaller blocks pay for more turns of the loop, larger ones leave the processor's cache.
IMAGE_BLOCKS = Blocks(by_image=True, max_bytes=8 * 2**20)
# An accelerator needs large blocks: each turn is some twenty small programs to launch, of some microseconds each.
BATCH_BLOCKS = Blocks(by_image=False, max_bytes=256 * 2**20)


def has_large_map(queries: int, keys: int) -> bool:
    """Return whether the map of one image, [queries, keys], is so large that it may be computed in blocks."""
    return queries * keys * _FLOAT32_BYTES > LARGEST_DENSE_MAP_BYTES


def is_blockwise(batch: int | None, queries: int, keys: int) -> bool:
    """Return whether attention is better computed in blocks; `batch` is None where it is not known.

    Maps that are not large for one image are never computed in blocks, so that whether attention has a second
    derivative depends on neither device nor batch. Larger ones are dense where an accelerator has room for the batch.
    """
    if not has_large_map(queries, keys):
        return False
    if find_blocks(batch).by_image or batch is None:
        return True
    return batch * queries * keys * _FLOAT32_BYTES > LARGEST_DENSE_BATCH_BYTES


def find_blocks(batch: int | None) -> Blocks:
    """Return the blocks for a batch on this machine, as it is when a function is traced.

    A batch of one image, and one of unknown size, has the blocks of a CPU on every machine: those are the batches of
    exported models, which are made on one machine and run on another.
    """
    is_training_batch = batch is not None and batch > 1
    return BATCH_BLOCKS if is_training_batch and accelerators.has_accelerator() else IMAGE_BLOCKS


def blockwise_attention(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, blocks: Blocks | None = None) -> tf.Tensor:
    """Compute the outputs of `dense_attention` without the whole map.

    Args:
        query: float [batch, queries, channels]; here and below only the batch may be unknown, and with `by_image` only.
        key: float [batch, keys, channels], like `value` of the query's dtype.
        value: float [batch, keys, value channels].
        blocks: how to cut; None: as `find_blocks` says.

    Returns:
        [batch, queries, value channels] of the operands' dtype.

    Raises:
        LookupError: when a second derivative is asked for.
    """
    blocks = blocks or find_blocks(query.shape[0])
    images = 1 if blocks.by_image else query.shape[0]
    rows = _block_rows(query.shape[1], images * key.shape[1], blocks.max_bytes)
    each = _map if blocks.by_image else _call

    @tf.custom_gradient
    def attend(
        query: tf.Tensor, key: tf.Tensor, value: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], list[tf.Tensor]]]:
        output_spec = tf.TensorSpec([query.shape[1], value.shape[2]], value.dtype)
        outputs = each(lambda operands: _attend(rows, *operands), (query, key, value), output_spec)

        def differentiate(upstream: tf.Tensor) -> list[tf.Tensor]:
            gradients = each(
                lambda operands: _differentiate(rows, *operands),
                (query, key, value, outputs, upstream),
                [tf.TensorSpec(tensor.shape[1:], tensor.dtype) for tensor in (query, key, value)],
            )
            # A second derivative would have to go through the loops, which would keep every block.
            message = "attention in blocks has no second derivative; SelfAttention2D(blockwise=False) has"
            return [tf.raw_ops.PreventGradient(input=gradient, message=message) for gradient in gradients]

        return outputs, differentiate

    return attend(query, key, value)


def _attend(rows: int, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Attend with `rows` queries at a time, for tensors [..., locations, channels]."""

    def attend_block(block: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.cast(attention_map(block, key), value.dtype), value)

    output_spec = tf.TensorSpec([*query.shape[:-2], rows, value.shape[-1]], value.dtype)
    return _join(_map(attend_block, _cut(query, rows), output_spec), query.shape[-2])


def _differentiate(
    rows: int, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, outputs: tf.Tensor, upstream: tf.Tensor
) -> list[tf.Tensor]:
    """Differentiate with respect to query, key and value, `rows` queries at a time.

    Gradients of keys and values are summed over the blocks in float32, also those of half precision.
    """
    query_blocks, output_blocks, upstream_blocks = (_cut(tensor, rows) for tensor in (query, outputs, upstream))
    num_blocks = query_blocks.shape[0]
    wide = wide_dtype(value.dtype)

    def add_block(
        index: tf.Tensor, to_query: tf.TensorArray, to_key: tf.Tensor, to_value: tf.Tensor
    ) -> tuple[tf.Tensor, tf.TensorArray, tf.Tensor, tf.Tensor]:
        block = query_blocks[index]
        weights = tf.cast(attention_map(block, key), value.dtype)
        gradients = attention_gradients(block, key, value, weights, output_blocks[index], upstream_blocks[index])
        to_query = to_query.write(index, gradients[0])
        to_key += tf.cast(gradients[1], wide)
        to_value += tf.cast(gradients[2], wide)
        return index + 1, to_query, to_key, to_value

    to_query = tf.TensorArray(query.dtype, num_blocks, element_shape=query_blocks.shape[1:])
    _, to_query, to_key, to_value = tf.while_loop(
        lambda index, *_: index < num_blocks,
        add_block,
        (0, to_query, tf.zeros_like(key, wide), tf.zeros_like(value, wide)),
        parallel_iterations=1,
    )
    return [_join(to_query.stack(), query.shape[-2]), tf.cast(to_key, key.dtype), tf.cast(to_value, value.dtype)]


def _map(function: Callable[[Any], Any], elements: Any, output_spec: Any) -> Any:
    """Call `tf.map_fn` with one element after another: side by side, their memory would add up."""
    return tf.map_fn(function, elements, parallel_iterations=1, fn_output_signature=output_spec)


def _call(function: Callable[[Any], Any], elements: Any, _: Any) -> Any:
    """Call a function with all elements at once."""
    return function(elements)


def _block_rows(queries: int, keys: int, max_bytes: int) -> int:
    """Return the queries of one block: as many as fit, spread evenly over the blocks so that little is filled up."""
    fitting = max(max_bytes // (keys * _FLOAT32_BYTES), 1)
    num_blocks = math.ceil(queries / fitting)
    return math.ceil(queries / num_blocks)


def _cut(features: tf.Tensor, rows: int) -> tf.Tensor:
    """[..., locations, channels] -> [blocks, ..., rows, channels], the last block filled up with zeros.

    Queries of zeros do no harm: what they gather is dropped, and as nothing comes back their gradients are zero.
    """
    *lead, locations, channels = features.shape
    num_blocks = math.ceil(locations / rows)
    filled = tf.pad(features, [[0, 0]] * len(lead) + [[0, num_blocks * rows - locations], [0, 0]])
    blocks = tf.reshape(filled, [*lead, num_blocks, rows, channels])
    return tf.transpose(blocks, [len(lead), *range(len(lead)), len(lead) + 1, len(lead) + 2]) if lead else blocks


def _join(blocks: tf.Tensor, locations: int) -> tf.Tensor:
    """Apply the inverse of `_cut`."""
    num_blocks, *lead, rows, channels = blocks.shape
    if lead:
        blocks = tf.transpose(blocks, [*range(1, len(lead) + 1), 0, len(lead) + 1, len(lead) + 2])
    return tf.reshape(blocks, [*lead, num_blocks * rows, channels])[..., :locations, :]
