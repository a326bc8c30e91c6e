"""Placement of the operations of a graph on a machine with a GPU, from the kernels of this TensorFlow."""

import functools
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import kernels, op_def_registry

_CONSTANTS = frozenset(["Const", "Shape", "ShapeN", "Size", "Rank"])
"""Operations whose results TensorFlow knows before it runs a graph with known shapes."""
_CALLS = frozenset(["PartitionedCall", "StatefulPartitionedCall", "If", "StatelessIf", "While", "StatelessWhile"])
"""Operations that call functions. The int32 arguments and results of functions are in the memory of the host."""


def has_gpu_kernels() -> bool:
    """Return whether this TensorFlow was built with support for GPUs."""
    return any(kernel.device_type == "GPU" for kernel in _kernels("MatMul"))


def find_host_waits(graph: tf.Graph) -> list[tuple[str, str, str]]:
    """Return the tensors that a GPU computes and an operation needs in the memory of the host.

    For each of them, the host waits until the GPU has finished everything that was launched before.
    """
    return [
        (tensor.op.type, tensor.dtype.name, operation.type)
        for operation in graph.get_operations()
        for index, tensor in enumerate(operation.inputs)
        if tensor.dtype not in (tf.resource, tf.variant, tf.string)
        and _is_on_host(operation, "input", index)
        and tensor.op.type != "Placeholder"
        and not _is_constant(tensor.op)
        and not _is_on_host(tensor.op, "output", tensor.value_index)
    ]


def _is_constant(operation: tf.Operation) -> bool:
    """Return whether an operation is a constant or depends on constants only."""
    if operation.type in _CONSTANTS:
        return True
    return bool(operation.inputs) and all(_is_constant(tensor.op) for tensor in operation.inputs)


def _is_on_host(operation: tf.Operation, direction: str, index: int) -> bool:
    """Return whether an input or output is in the memory of the host, on a machine with a GPU."""
    tensor = (operation.inputs if direction == "input" else operation.outputs)[index]
    if operation.type in _CALLS and tensor.dtype == tf.int32:
        return True
    kernel = _gpu_kernel(operation)
    if kernel is None:
        return True
    names = _argument_names(operation, direction)
    return names[index] in kernel.host_memory_arg


def _gpu_kernel(operation: tf.Operation) -> Any:
    """Return the kernel of an operation on a GPU, or None."""
    for device in ("GPU", "DEFAULT"):
        for kernel in _kernels(operation.type):
            if kernel.device_type == device and all(_is_met(constraint, operation) for constraint in kernel.constraint):
                return kernel
    return None


def _is_met(constraint: Any, operation: tf.Operation) -> bool:
    attribute = operation.node_def.attr.get(constraint.name)
    if attribute is None:
        return True
    types = [attribute.type] if attribute.WhichOneof("value") == "type" else attribute.list.type
    return all(dtype in constraint.allowed_values.list.type for dtype in types)


def _argument_names(operation: tf.Operation, direction: str) -> list[str]:
    """Return the name of the argument of each input or output; an argument may consist of several tensors."""
    definition = op_def_registry.get(operation.type)
    names: list[str] = []
    for argument in definition.input_arg if direction == "input" else definition.output_arg:
        count = 1
        if argument.number_attr:
            count = operation.get_attr(argument.number_attr)
        elif argument.type_list_attr:
            count = len(operation.get_attr(argument.type_list_attr))
        names += [argument.name] * count
    return names


@functools.cache
def _kernels(operation_type: str) -> list[Any]:
    return list(kernels.get_registered_kernels_for_op(operation_type).kernel)
