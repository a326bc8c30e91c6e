"""How much arithmetic a compiled function does: the multiply-adds of its convolutions and matrix products."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sagan_tf.layers.convolutions.tiles import TRANSFORM

# TensorFlow numbers the scopes of a graph that have one name.
_IN_TRANSFORM = re.compile(rf"(?:^|/){TRANSFORM}(?:_\d+)?/")

# For each operation, which of (inputs, outputs) has the kernel and which the convolution's result.
_CONVOLUTIONS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "Conv2D": lambda op: (op.inputs[1].shape, op.outputs[0].shape),
    "Conv2DBackpropInput": lambda op: (op.inputs[1].shape, op.inputs[2].shape),
    "Conv2DBackpropFilter": lambda op: (op.outputs[0].shape, op.inputs[2].shape),
}


def graph_multiply_adds(graph: tf.Graph, *, transforms: bool = False) -> int:
    """Multiply-adds of the convolutions and matrix products in a graph and in the functions that it calls.

    A loop's body counts once, and so does every branch, taken or not. Everything else, which is additions and the like
    on single values, is not counted.

    Args:
        graph: what to count.
        transforms: whether products of `layers.tiles.combined` count: with small matrices of constants, in place of
            additions.

    Raises:
        ValueError: an operation's size is not known before it runs.
    """
    operations = used_operations(graph)
    counted = [one for one in operations if transforms or not _IN_TRANSFORM.search(one.name)]
    called = [function for operation in operations for function in called_graphs(operation)]
    inside = sum(graph_multiply_adds(function, transforms=transforms) for function in called)
    return sum(map(_of_operation, counted)) + inside


def used_operations(graph: tf.Graph) -> list[tf.Operation]:
    """Return the operations that the graph's results or its effects depend on; TensorFlow drops the others."""
    waiting = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    waiting += [operation for operation in graph.get_operations() if operation.op_def.is_stateful]
    used: dict[str, tf.Operation] = {}
    while waiting:
        operation = waiting.pop()
        if operation.name not in used:
            used[operation.name] = operation
            waiting += [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
    return list(used.values())


def _of_operation(operation: tf.Operation) -> int:
    if operation.type in _CONVOLUTIONS:
        kernel, result = _CONVOLUTIONS[operation.type](operation)
        return _known(operation, [*result[:3], *kernel])
    if operation.type in ("MatMul", "BatchMatMulV2"):
        transposed = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
        contracted = operation.inputs[0].shape[-2 if transposed else -1]
        return _known(operation, [*operation.outputs[0].shape, contracted])
    return 0


def _known(operation: tf.Operation, sizes: list[int | None]) -> int:
    if None in sizes:
        raise ValueError(f"the size of {operation.name} is not known before it runs: {sizes}")
    return math.prod(sizes)


def called_graphs(operation: tf.Operation) -> list[tf.Graph]:
    """Return the graphs of the functions that an operation calls: a loop's body, the branches of a condition."""
    attributes = operation.node_def.attr
    names = [attributes[key].func.name for key in ("body", "f", "then_branch", "else_branch") if key in attributes]
    names += [function.name for function in attributes["branches"].list.func] if "branches" in attributes else []
    return [operation.graph._get_function(name).graph for name in names]  # there is no public way
