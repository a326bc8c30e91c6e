"""Number of multiply-adds in the convolutions and matrix products of a TensorFlow graph."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sagan_tf.layers.convolutions.tiles import TRANSFORM_SCOPE

# TensorFlow appends numbers to scopes of the same name in a graph.
_TRANSFORM_SCOPE = re.compile(rf"(?:^|/){TRANSFORM_SCOPE}(?:_\d+)?/")

# For each operation, the shapes of the kernel and of the convolution's result.
_CONVOLUTIONS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "Conv2D": lambda op: (op.inputs[1].shape, op.outputs[0].shape),
    "Conv2DBackpropInput": lambda op: (op.inputs[1].shape, op.inputs[2].shape),
    "Conv2DBackpropFilter": lambda op: (op.outputs[0].shape, op.inputs[2].shape),
}


def count_multiply_adds(graph: tf.Graph, *, transforms: bool = False) -> int:
    """Count the multiply-adds of the convolutions and matrix products in a graph.

    Functions that the graph calls are included. The body of a loop counts once, and so does every branch, whether it is
    taken or not. Elementwise operations, such as additions, do not count.

    Args:
        graph: The graph.
        transforms: Whether the transforms of the tiled convolutions (`layers/convolutions/tiles.py`) count. They are
            products with small constant matrices, which replace additions.

    Returns:
        The number of multiply-adds.

    Raises:
        ValueError: The size of an operation is not known before it runs.
    """
    operations = find_used_operations(graph)
    counted = [operation for operation in operations if transforms or not _TRANSFORM_SCOPE.search(operation.name)]
    called = [function for operation in operations for function in find_called_graphs(operation)]
    called_count = sum(count_multiply_adds(function, transforms=transforms) for function in called)
    return sum(map(_count_operation, counted)) + called_count


def find_used_operations(graph: tf.Graph) -> list[tf.Operation]:
    """Return the operations that TensorFlow does not prune from a graph.

    These are the operations on which the graph's outputs or its side effects depend.
    """
    waiting = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    waiting += [operation for operation in graph.get_operations() if operation.op_def.is_stateful]
    used: dict[str, tf.Operation] = {}
    while waiting:
        operation = waiting.pop()
        if operation.name not in used:
            used[operation.name] = operation
            waiting += [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
    return list(used.values())


def _count_operation(operation: tf.Operation) -> int:
    if operation.type in _CONVOLUTIONS:
        kernel, result = _CONVOLUTIONS[operation.type](operation)
        return _multiply_known_sizes(operation, [*result[:3], *kernel])
    if operation.type in ("MatMul", "BatchMatMulV2"):
        transposed = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
        contracted = operation.inputs[0].shape[-2 if transposed else -1]
        return _multiply_known_sizes(operation, [*operation.outputs[0].shape, contracted])
    return 0


def _multiply_known_sizes(operation: tf.Operation, sizes: list[int | None]) -> int:
    known = [size for size in sizes if size is not None]
    if known != sizes:
        raise ValueError(f"the sizes of {operation.name} are not all known before it runs: {sizes}")
    return math.prod(known)


def find_called_graphs(operation: tf.Operation) -> list[tf.Graph]:
    """Return the graphs of the functions that an operation calls.

    Such a function is, for example, the body of a loop or a branch of a condition.
    """
    attributes = operation.node_def.attr
    names = [attributes[key].func.name for key in ("body", "f", "then_branch", "else_branch") if key in attributes]
    names += [function.name for function in attributes["branches"].list.func] if "branches" in attributes else []
    return [operation.graph._get_function(name).graph for name in names]  # TensorFlow has no public function for it.
