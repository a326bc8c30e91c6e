"""Where a GPU would compute the operations of a graph: from the kernels that this TensorFlow has for it."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import kernels, op_def_registry

_CONSTANTS = frozenset(["Const", "Shape", "ShapeN", "Size", "Rank"])
"""Operations whose results TensorFlow knows before it runs a graph of known shapes."""
_CALLS = frozenset(["PartitionedCall", "StatefulPartitionedCall", "If", "StatelessIf", "While", "StatelessWhile"])
"""Operations that call functions. Functions take int32 from the host's memory and return it there."""


def has_gpu_kernels() -> bool:
    """Return whether this TensorFlow was built for GPUs; it may run without one."""
    return any(kernel.device_type == "GPU" for kernel in _kernels("MatMul"))


def host_waits(graph: tf.Graph) -> list[tuple[str, str, str]]:
    """List the tensors that a GPU computes and an operation needs in the host's memory.

    For each of them the host waits until the GPU has done all that was launched before.

    Returns:
        The operation that computes the tensor, its dtype, and the operation that takes it, by their types.
    """
    return [
        (tensor.op.type, tensor.dtype.name, one.type)
        for one in graph.get_operations()
        for index, tensor in enumerate(one.inputs)
        if tensor.dtype not in (tf.resource, tf.variant, tf.string)
        and _is_on_host(one, "input", index)
        and tensor.op.type != "Placeholder"
        and not _is_constant(tensor.op)
        and not _is_on_host(tensor.op, "output", tensor.value_index)
    ]


def _is_constant(operation: tf.Operation) -> bool:
    """Return whether an operation is a constant, or computed from constants alone."""
    if operation.type in _CONSTANTS:
        return True
    return bool(operation.inputs) and all(_is_constant(tensor.op) for tensor in operation.inputs)


def _is_on_host(operation: tf.Operation, direction: str, index: int) -> bool:
    """Return whether an input or output of an operation is in the host's memory, on a machine with a GPU."""
    tensor = (operation.inputs if direction == "input" else operation.outputs)[index]
    if operation.type in _CALLS and tensor.dtype == tf.int32:
        return True
    kernel = _gpu_kernel(operation)
    if kernel is None:
        return True
    names = _argument_names(operation, direction)
    return names[index] in kernel.host_memory_arg


def _gpu_kernel(operation: tf.Operation) -> Any:
    """Return the kernel of an operation on a GPU, or None where there is none."""
    for device in ("GPU", "DEFAULT"):
        for kernel in _kernels(operation.type):
            if kernel.device_type == device and all(_allows(one, operation) for one in kernel.constraint):
                return kernel
    return None


def _allows(constraint: Any, operation: tf.Operation) -> bool:
    attribute = operation.node_def.attr.get(constraint.name)
    if attribute is None:
        return True
    types = [attribute.type] if attribute.WhichOneof("value") == "type" else attribute.list.type
    return all(one in constraint.allowed_values.list.type for one in types)


def _argument_names(operation: tf.Operation, direction: str) -> list[str]:
    """Return the name of the argument that each input or output belongs to: an argument may be several tensors."""
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
