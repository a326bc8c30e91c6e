"""Attention in blocks compared with the dense form, which `test_dense_attention.py` compares with TensorFlow."""

import functools
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import accelerators
from sagan_tf.layers.blockwise_attention import (
    BATCH_BLOCKS,
    IMAGE_BLOCKS,
    Blocks,
    blockwise_attention,
    choose_blocks,
    has_large_map,
    is_blockwise,
)
from sagan_tf.layers.dense_attention import dense_attention
from tests.layers.gradients import assert_close, outputs_and_gradients
from tests.layers.tflite import run_as_tflite

pytestmark = pytest.mark.usefixtures("on_a_cpu")

Attention = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

FLOAT32_BYTES = 4
SIZES = {  # batch, queries, keys, channels of query and key, channels of value, queries in a block
    "padded_last_block": (3, 35, 12, 2, 6, 8),
    "one_image": (1, 35, 35, 2, 2, 9),
    "one_query_per_block": (2, 5, 7, 1, 3, 1),
    "one_block": (2, 9, 4, 2, 3, 100),
}
attend_in_blocks = functools.partial(
    blockwise_attention, blocks=Blocks(True, 8 * 12 * FLOAT32_BYTES)
)  # 8 queries by 12 keys
SPECS = [tf.TensorSpec([None, *shape]) for shape in ((35, 2), (12, 2), (12, 6))]


def make_operands(batch: int, queries: int, keys: int, narrow: int, wide: int) -> list[tf.Tensor]:
    random = np.random.default_rng(1)
    shapes = (batch, queries, narrow), (batch, keys, narrow), (batch, keys, wide)
    return [tf.constant(random.normal(size=shape), tf.float32) for shape in shapes]


def attend_dense(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    return dense_attention(query, key, value)[0]


def create_blockwise(shape: Sequence[int], rows: int, by_image: bool) -> Attention:
    """Return attention for operands of `shape` in blocks of `rows` queries."""
    images = 1 if by_image else shape[0]
    blocks = Blocks(by_image, images * rows * shape[2] * FLOAT32_BYTES)
    return functools.partial(blockwise_attention, blocks=blocks)


image_and_batch = pytest.mark.parametrize("by_image", [True, False], ids=["by_image", "by_batch"])


@image_and_batch
@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_blockwise_attention_equals_the_dense_form(size: tuple[int, ...], scale: float, by_image: bool) -> None:
    *shape, rows = size
    inputs = [scale * operand for operand in make_operands(*shape)]
    actual = outputs_and_gradients(create_blockwise(shape, rows, by_image), *inputs)
    assert_close(actual, outputs_and_gradients(attend_dense, *inputs), 1e-5)


@image_and_batch
def test_gradients_on_an_accelerator(by_image: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an accelerator, the gradients restore the row sums of the map."""
    monkeypatch.setattr(accelerators, "has_accelerator", lambda: True)
    inputs = make_operands(3, 35, 12, 2, 6)
    actual = outputs_and_gradients(create_blockwise([3, 35, 12], 8, by_image), *inputs)
    assert_close(actual, outputs_and_gradients(attend_dense, *inputs))


@image_and_batch
@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 5e-3), ("bfloat16", 3e-2)])
def test_half_precision(dtype: str, tolerance: float, by_image: bool) -> None:
    """Keys and values have a mean, which must not multiply rounding errors."""
    pairs = zip(make_operands(3, 35, 12, 2, 6), (0.0, 1.0, 3.0), strict=True)
    inputs = [tf.cast(tensor + mean, dtype) for tensor, mean in pairs]
    expected = outputs_and_gradients(attend_dense, *(tf.cast(tensor, tf.float32) for tensor in inputs))
    actual = outputs_and_gradients(create_blockwise([3, 35, 12], 8, by_image), *inputs)
    assert {tensor.dtype.name for tensor in actual} == {dtype}
    assert_close(actual, expected, tolerance)


def test_sums_over_blocks_are_not_in_half_precision() -> None:
    """Each of 4,096 blocks adds 1/4 to a key's value gradient: in bfloat16 the sum would stop at 64."""
    query, key, value = (tf.cast(tf.ones([1, size, 1]), tf.bfloat16) for size in (4096, 4, 4))
    one_query = functools.partial(blockwise_attention, blocks=Blocks(True, 4 * FLOAT32_BYTES))
    with tf.GradientTape() as tape:
        tape.watch(value)
        loss = tf.reduce_sum(tf.cast(tf.function(one_query, autograph=False)(query, key, value), tf.float32))
    np.testing.assert_array_equal(tf.cast(tape.gradient(loss, value), tf.float32), 1024.0)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_one_function_for_every_batch(jit_compile: bool) -> None:
    function = tf.function(
        lambda *inputs: outputs_and_gradients(attend_in_blocks, *inputs),
        input_signature=SPECS,
        jit_compile=jit_compile,
        autograph=False,
    )
    for batch in (1, 3):
        inputs = make_operands(batch, 35, 12, 2, 6)
        assert_close(function(*inputs), outputs_and_gradients(attend_dense, *inputs))


def test_an_empty_batch() -> None:
    results = outputs_and_gradients(attend_in_blocks, *make_operands(0, 35, 12, 2, 6))
    assert [result.shape for result in results] == [(0, 35, 6), (0, 35, 2), (0, 12, 2), (0, 12, 6)]


def test_saved_model(tmp_path: pathlib.Path) -> None:
    """A SavedModel keeps the outputs and the gradients."""
    module = tf.Module()
    module.attend = tf.function(lambda *inputs: attend_in_blocks(*inputs), input_signature=SPECS, autograph=False)
    tf.saved_model.save(module, tmp_path)
    inputs = make_operands(3, 35, 12, 2, 6)
    assert_close(
        outputs_and_gradients(tf.saved_model.load(tmp_path).attend, *inputs),
        outputs_and_gradients(attend_dense, *inputs),
    )


def test_tflite() -> None:
    inputs = make_operands(1, 35, 12, 2, 6)
    assert_close([tf.constant(run_as_tflite(attend_in_blocks, inputs))], [attend_dense(*inputs)])


@pytest.mark.parametrize("compiled", [False, True])
def test_second_derivative_is_rejected(compiled: bool) -> None:
    def second_derivative(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as outer:
            outer.watch(query)
            gradient = outputs_and_gradients(attend_in_blocks, query, key, value)[1]
        return outer.gradient(gradient, query)

    function = tf.function(second_derivative, autograph=False) if compiled else second_derivative
    with pytest.raises(LookupError, match=r"no second derivative.*blockwise=False"):
        function(*make_operands(1, 35, 12, 2, 6))


def list_nodes(attend: Attention, *shapes: Sequence[int | None]) -> list[tf.compat.v1.NodeDef]:
    """Return the graph nodes of the forward and backward pass, loop bodies included."""
    function = tf.function(lambda *inputs: outputs_and_gradients(attend, *inputs), autograph=False)
    graph = function.get_concrete_function(*map(tf.TensorSpec, shapes)).graph.as_graph_def(add_shapes=True)
    return [*graph.node, *(node for body in graph.library.function for node in body.node_def)]


def max_tensor_bytes(nodes: list[tf.compat.v1.NodeDef]) -> int:
    shapes = [tf.TensorShape(shape) for node in nodes for shape in node.attr["_output_shapes"].list.shape]
    assert all(shape.is_fully_defined() for shape in shapes) and len(shapes) > 10
    return FLOAT32_BYTES * max(shape.num_elements() for shape in shapes)


@image_and_batch
def test_memory_grows_linearly(by_image: bool) -> None:
    """No tensor is larger than a block or the operands, and loops run one iteration at a time."""
    blocks = Blocks(by_image, 200 * 20 * FLOAT32_BYTES)
    for locations in (200, 800):
        shapes = [2, locations, 1], [2, locations, 1], [2, locations, 3]
        nodes = list_nodes(functools.partial(blockwise_attention, blocks=blocks), *shapes)
        assert max_tensor_bytes(nodes) <= max(blocks.max_bytes, 2 * locations * 4 * FLOAT32_BYTES)
        loops = [node for node in nodes if "While" in node.op]
        assert len(loops) == (4 if by_image else 2)  # over blocks (and over images), forward and backward
        assert {node.attr["parallel_iterations"].i for node in loops} == {1}


def test_16384_locations() -> None:
    """The largest tensor is 1/128 of the map, at the size that `tools/benchmarks/attention.py` measures."""
    shapes = [1, 16384, 8], [1, 16384, 8], [1, 16384, 8]
    assert max_tensor_bytes(list_nodes(blockwise_attention, *shapes)) == IMAGE_BLOCKS.max_bytes == 2**30 // 128


def test_batch_blocks_on_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks are chosen by the size of the batch: 32 images of 64x64 have a map of 2 GiB."""
    monkeypatch.setattr(accelerators, "has_accelerator", lambda: True)
    shapes = [32, 4096, 8], [32, 4096, 8], [32, 4096, 8]
    assert max_tensor_bytes(list_nodes(blockwise_attention, *shapes)) == BATCH_BLOCKS.max_bytes == 2**31 // 8


MAPS = [(1024, 256), (1024, 1024), (4096, 1024), (4097, 1024), (4096, 4096), (16384, 4096), (16384, 16384)]


def test_large_maps() -> None:
    large = [False, False, False, True, True, True, True]
    assert [has_large_map(*size) for size in MAPS] == large
    assert [is_blockwise(batch, *size) for batch in (None, 1, 32) for size in MAPS] == 3 * large


@pytest.mark.parametrize(
    ("batch", "smallest", "blocks"),
    [(None, 3, IMAGE_BLOCKS), (1, 3, IMAGE_BLOCKS), (2, 6, BATCH_BLOCKS), (8, 5, BATCH_BLOCKS), (64, 3, BATCH_BLOCKS)],
)
def test_is_blockwise_on_an_accelerator(
    batch: int | None, smallest: int, blocks: Blocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exported models, with a batch size of one or unknown, have the blocks of a CPU."""
    monkeypatch.setattr(accelerators, "has_accelerator", lambda: True)
    assert [is_blockwise(batch, *size) for size in MAPS] == [index >= smallest for index in range(len(MAPS))]
    assert choose_blocks(batch) == blocks
