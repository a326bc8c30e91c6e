"""Work of a compiled function on a device: arithmetic, memory traffic and launched operations."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tools.benchmarks.arithmetic import count_multiply_adds, find_called_graphs, find_used_operations

PRODUCT_OPERATIONS = frozenset(["Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter", "MatMul", "BatchMatMulV2"])
"""Operations whose duration depends on their arithmetic, not on memory traffic."""
_OPERATIONS_WITHOUT_COPY = frozenset(
    [
        *("Const", "Placeholder", "NoOp", "Identity", "IdentityN", "StopGradient", "PreventGradient"),
        *("Reshape", "ExpandDims", "Squeeze", "Shape", "ShapeN", "Size", "Rank"),
        *("VarHandleOp", "ReadVariableOp", "AssignVariableOp"),
        *("If", "StatelessIf", "While", "StatelessWhile", "PartitionedCall", "StatefulPartitionedCall"),
    ]
)
"""Operations that move no data: they rename it or pass it on."""
_DTYPES_WITHOUT_DATA = (tf.resource, tf.variant, tf.string)


@dataclasses.dataclass(frozen=True)
class Work:
    """Work on a device.

    Attributes:
        flops: Floating-point operations of convolutions and matrix products; a multiply-add counts as two.
        traffic_bytes: Bytes that all other operations read and write, each one on its own, as TensorFlow runs them.
        operations: Number of operations on floating-point numbers, each of which is launched on the GPU.
    """

    flops: float = 0.0
    traffic_bytes: float = 0.0
    operations: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(*map(sum, zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))

    def scale(self, factor: float) -> Work:
        """Return the work of `factor` repetitions."""
        return Work(*(factor * value for value in dataclasses.astuple(self)))


@dataclasses.dataclass(frozen=True)
class BatchWork:
    """Work that grows linearly with the number of images in a batch.

    Attributes:
        fixed: Work of an empty batch.
        per_image: Work that each image adds.
    """

    fixed: Work = Work()
    per_image: Work = Work()

    @classmethod
    def fit_line(cls, images: int, work: Work, more_images: int, more_work: Work) -> BatchWork:
        """Return the straight line through the work of two batches."""
        per_image = (more_work + work.scale(-1.0)).scale(1.0 / (more_images - images))
        return cls(work + per_image.scale(-images), per_image)

    def evaluate(self, images: float) -> Work:
        """Return the work of a batch."""
        return self.fixed + self.per_image.scale(images)

    def __add__(self, other: BatchWork) -> BatchWork:
        return BatchWork(self.fixed + other.fixed, self.per_image + other.per_image)

    def scale(self, factor: float) -> BatchWork:
        """Return the work of `factor` repetitions."""
        return BatchWork(self.fixed.scale(factor), self.per_image.scale(factor))


def count_graph_work(graph: tf.Graph) -> Work:
    """Count the work that a graph's results and side effects need.

    Both branches of a condition count. A function that XLA compiles is one operation: it reads its inputs and writes
    its outputs once, and its intermediate values take no memory. Tensors whose size is not known before they are
    computed are left out of the traffic.

    Raises:
        ValueError: The size of a convolution or matrix product is not known.
    """
    flops = 2.0 * count_multiply_adds(graph, transforms=True)
    traffic, operations = _count_traffic_and_operations(graph)
    return Work(flops, float(traffic), float(operations))


def _count_traffic_and_operations(graph: tf.Graph) -> tuple[int, int]:
    traffic = count = 0
    for operation in find_used_operations(graph):
        if _is_compiled(operation):
            traffic, count = traffic + _count_moved_bytes(operation), count + 1
            continue
        for inner in find_called_graphs(operation):
            inner_traffic, inner_count = _count_traffic_and_operations(inner)
            traffic, count = traffic + inner_traffic, count + inner_count
        if operation.type not in _OPERATIONS_WITHOUT_COPY:
            traffic += 0 if operation.type in PRODUCT_OPERATIONS else _count_moved_bytes(operation)
            count += _is_launched(operation)
    return traffic, count


def _is_compiled(operation: tf.Operation) -> bool:
    """Return whether an operation calls a function that XLA compiles."""
    attributes = operation.node_def.attr
    return "_XlaMustCompile" in attributes and attributes["_XlaMustCompile"].b


def _count_moved_bytes(operation: tf.Operation) -> int:
    tensors = sum(map(_count_bytes, [*operation.inputs, *operation.outputs]))
    if not operation.type.startswith("ResourceApply"):
        return tensors
    # An optimizer reads and writes each of its variables, which are as large as the gradient.
    variables = sum(tensor.dtype == tf.resource for tensor in operation.inputs)
    return tensors + 2 * variables * max(map(_count_bytes, operation.inputs))


def _is_launched(operation: tf.Operation) -> bool:
    return operation.type.startswith("ResourceApply") or any(tensor.dtype.is_floating for tensor in operation.outputs)


def _count_bytes(tensor: tf.Tensor) -> int:
    if tensor.dtype in _DTYPES_WITHOUT_DATA or not tensor.shape.is_fully_defined():
        return 0
    return tensor.shape.num_elements() * tensor.dtype.size
