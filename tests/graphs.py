"""Questions about graphs."""

from __future__ import annotations

import tensorflow as tf


def waits_for(operation: tf.Operation, *, data_only: bool = False) -> set[str]:
    """Names of all operations that run before one: those that its inputs and control inputs lead to, and itself.

    With `data_only`, those that it is computed from.
    """
    waiting, found = [operation], set()
    while waiting:
        one = waiting.pop()
        if one.name not in found:
            found.add(one.name)
            waiting += [tensor.op for tensor in one.inputs] + ([] if data_only else list(one.control_inputs))
    return found


def loop_body(graph: tf.Graph) -> tf.Graph:
    """Return the graph of one turn of the only loop of a graph."""
    (loop,) = (one for one in graph.get_operations() if one.type in ("While", "StatelessWhile"))
    return graph._get_function(loop.get_attr("body").name).graph


def tensors_between_devices(graph: tf.Graph) -> list[tf.Tensor]:
    """Return what one device computes for another, once for each operation that takes it.

    Operations without a device of their own are left out: variables are read where they are, and constants are sent
    once.
    """
    return [
        tensor
        for one in graph.get_operations()
        for tensor in one.inputs
        if tensor.dtype != tf.resource and one.device and tensor.op.device and one.device != tensor.op.device
    ]
