"""Tests of the transfer of variables between networks."""

import types
from typing import Any

import numpy as np
import pytest

from sagan_tf.training.fine_tuning.class_mapping import map_classes
from sagan_tf.training.fine_tuning.weight_transfer import transfer_variables

SHAPES: dict[str, tuple[int, ...]] = {
    "dense/dense/kernel": (2, 3),
    "dense/u": (2, 1),
    "block_1/normalization_1/gain": (3,),
    "block_1/convolution_1/convolution_1/kernel": (3, 4),
    "block_1/convolution_1/convolution_1/bias": (4,),
    "block_1/convolution_1/u": (3, 1),
    "block_1/convolution_2/convolution_2/kernel": (4, 4),
    "block_1/convolution_2/u": (4, 1),
    "normalization/moving_mean": (4,),
    "attention/gamma": (),
    "attention/query/kernel": (4, 1),
    "image/image/kernel": (4, 1),
    "label_embedding/u": (4, 1),
    "label_embedding/label_embedding/embeddings": (2, 4),
}


class Variable:
    """A variable of a network without TensorFlow."""

    def __init__(self, path: str) -> None:
        self.path, self.name, self.shape = path, path.rpartition("/")[2], SHAPES[path]
        self.value: Any = None

    def assign(self, value: np.ndarray) -> None:
        self.value = value


@pytest.mark.parametrize(
    ("kernel", "others"),
    [
        ("dense/dense/kernel", {"dense/u"}),
        (
            "block_1/convolution_1/convolution_1/kernel",
            {
                "block_1/convolution_1/convolution_1/bias",
                "block_1/convolution_1/u",
                "block_1/normalization_1/gain",
                "normalization/moving_mean",
            },
        ),
        (
            "block_1/convolution_2/convolution_2/kernel",
            {"block_1/convolution_2/u", "block_1/normalization_1/gain", "normalization/moving_mean"},
        ),
        ("attention/query/kernel", {"attention/gamma"}),
        ("image/image/kernel", set()),
        ("label_embedding/label_embedding/embeddings", {"label_embedding/u"}),
    ],
)
@pytest.mark.parametrize("is_absent", [False, True])
def test_variables_are_taken_together_with_the_kernel_of_their_layer(kernel, others, is_absent):
    source: dict[str, Any] = {
        name: np.full(shape, index, np.float32) for index, (name, shape) in enumerate(SHAPES.items())
    }
    source |= {kernel: np.zeros([9, *SHAPES[kernel]], np.float32), "old/kernel": np.zeros(3, np.float32)}
    if is_absent:
        del source[kernel]
    network: Any = types.SimpleNamespace(variables=[Variable(path) for path in SHAPES])
    transfer = transfer_variables(source, network, {}, {}, map_classes(("a", "b"), ("a", "b"), 2))
    values = {variable.path: variable.value for variable in network.variables}
    new = {name for name, value in values.items() if value is None}
    assert new == set(transfer.initialized) == {kernel, *others}
    assert all(values[name] is source[name] for name in transfer.copied) and len(transfer.copied) + len(new) == 14
    assert transfer.new_kernels == (kernel,) and transfer.num_kernels == 5 and transfer.unused == ("old/kernel",)
    assert transfer.initialized[kernel]["source_shape"] == (None if is_absent else [9, *SHAPES[kernel]])
