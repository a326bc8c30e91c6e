"""Functions that examine graphs."""

import tensorflow as tf


def find_predecessors(operation: tf.Operation, *, data_only: bool = False) -> set[str]:
    """Return the names of all operations that run before an operation, and of the operation itself."""
    pending, found = [operation], set()
    while pending:
        current = pending.pop()
        if current.name not in found:
            found.add(current.name)
            pending += [tensor.op for tensor in current.inputs] + ([] if data_only else list(current.control_inputs))
    return found


def find_loop_body(graph: tf.Graph) -> tf.Graph:
    """Return the graph of the body of the only loop in a graph."""
    (loop,) = (operation for operation in graph.get_operations() if operation.type in ("While", "StatelessWhile"))
    return graph._get_function(loop.get_attr("body").name).graph


def find_cross_device_tensors(graph: tf.Graph) -> list[tf.Tensor]:
    """Return the tensors that are sent between devices, once for each operation that uses them.

    Operations without a device of their own do not count: variables are read on their device, and constants are sent
    once.
    """
    return [
        tensor
        for operation in graph.get_operations()
        for tensor in operation.inputs
        if tensor.dtype != tf.resource
        and operation.device
        and tensor.op.device
        and operation.device != tensor.op.device
    ]
