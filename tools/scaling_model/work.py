"""What a compiled function has a device do: arithmetic, memory traffic, operations to launch."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tools.benchmarks.arithmetic import count_multiply_adds, find_called_graphs, find_used_operations

PRODUCTS = frozenset(["Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter", "MatMul", "BatchMatMulV2"])
"""Operations whose time is that of their arithmetic."""
_WITHOUT_COPY = frozenset(
    ["Const", "Placeholder", "NoOp", "Identity", "IdentityN", "StopGradient", "PreventGradient"]
    + ["Reshape", "ExpandDims", "Squeeze", "Shape", "ShapeN", "Size", "Rank"]
    + ["VarHandleOp", "ReadVariableOp", "AssignVariableOp"]
    + ["If", "StatelessIf", "While", "StatelessWhile", "PartitionedCall", "StatefulPartitionedCall"]
)
"""Operations that move no data: they name it otherwise, or hand it on."""
_NO_DATA = (tf.resource, tf.variant, tf.string)


@dataclasses.dataclass(frozen=True)
class Work:
    """What is done.

    Attributes:
        flops: of convolutions and matrix products; a multiply-add counts as two.
        traffic_bytes: read and written by all other operations, each on its own, as TensorFlow runs them.
        operations: on floating-point numbers, each of which the GPU is told to do.
    """

    flops: float = 0.0
    traffic_bytes: float = 0.0
    operations: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(*map(sum, zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    def times(self, factor: float) -> Work:
        """Return the work done `factor` times."""
        return Work(*(factor * value for value in dataclasses.astuple(self)))


@dataclasses.dataclass(frozen=True)
class BatchWork:
    """Work that grows with the number of images in a batch: what a batch of none costs, and what each image adds."""

    fixed: Work = Work()
    per_image: Work = Work()

    @classmethod
    def through(cls, images: int, work: Work, more_images: int, more_work: Work) -> BatchWork:
        """Return the straight line through the work of two batches."""
        per_image = (more_work + work.times(-1.0)).times(1.0 / (more_images - images))
        return cls(work + per_image.times(-images), per_image)

    def of(self, images: float) -> Work:
        """Return the work of a batch."""
        return self.fixed + self.per_image.times(images)

    def __add__(self, other: BatchWork) -> BatchWork:
        return BatchWork(self.fixed + other.fixed, self.per_image + other.per_image)

    def times(self, factor: float) -> BatchWork:
        """Return the work done `factor` times."""
        return BatchWork(self.fixed.times(factor), self.per_image.times(factor))


def graph_work(graph: tf.Graph) -> Work:
    """Return the work of what a graph's results and effects need; both branches of a condition count.

    A function that XLA compiles is one operation: it reads its inputs and writes its outputs once, and what it computes
    in between takes no memory. Tensors whose size is not known before they are computed are left out of the traffic.

    Raises:
        ValueError: the size of a convolution or matrix product is not known.
    """
    flops = 2.0 * count_multiply_adds(graph, transforms=True)
    traffic, operations = _traffic_and_operations(graph)
    return Work(flops, float(traffic), float(operations))


def _traffic_and_operations(graph: tf.Graph) -> tuple[int, int]:
    traffic = count = 0
    for operation in find_used_operations(graph):
        if _is_compiled(operation):
            traffic, count = traffic + _bytes_moved(operation), count + 1
            continue
        for inner in find_called_graphs(operation):
            inner_traffic, inner_count = _traffic_and_operations(inner)
            traffic, count = traffic + inner_traffic, count + inner_count
        if operation.type not in _WITHOUT_COPY:
            traffic += 0 if operation.type in PRODUCTS else _bytes_moved(operation)
            count += _is_launched(operation)
    return traffic, count


def _is_compiled(operation: tf.Operation) -> bool:
    """Return whether an operation calls a function that XLA compiles."""
    attributes = operation.node_def.attr
    return "_XlaMustCompile" in attributes and attributes["_XlaMustCompile"].b


def _bytes_moved(operation: tf.Operation) -> int:
    tensors = sum(map(_num_bytes, [*operation.inputs, *operation.outputs]))
    if not operation.type.startswith("ResourceApply"):
        return tensors
    # An optimizer's step: each of its variables, as large as the gradient, is read and written.
    variables = sum(tensor.dtype == tf.resource for tensor in operation.inputs)
    return tensors + 2 * variables * max(map(_num_bytes, operation.inputs))


def _is_launched(operation: tf.Operation) -> bool:
    return operation.type.startswith("ResourceApply") or any(one.dtype.is_floating for one in operation.outputs)


def _num_bytes(tensor: tf.Tensor) -> int:
    if tensor.dtype in _NO_DATA or not tensor.shape.is_fully_defined():
        return 0
    return tensor.shape.num_elements() * tensor.dtype.size
