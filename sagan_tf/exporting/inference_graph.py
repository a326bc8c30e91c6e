"""A network's function at inference as a graph of its own, and its weights: nothing of Keras, nothing to train.

Kernels are divided by their sigma, moving statistics folded into gains and biases, and what convolutions multiply with
is made of the kernels once. The graph can be put into any function, with its weights as variables or as constants.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from sagan_tf.generation.inference import folded
from sagan_tf.keras_backend import keras

Tensors = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class InferenceGraph:
    """A function of tensors as a graph, weights apart.

    Attributes:
        definition: the graph.
        inputs: names of its placeholders, by the names of the inputs.
        outputs: names of tensors, by the names of the outputs.
        weights: keys of `WeightStore`, by the names of their placeholders.
    """

    definition: tf.compat.v1.GraphDef
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    weights: Mapping[str, str]

    def __call__(
        self,
        inputs: Tensors,
        weight: Callable[[str], tf.Tensor],
        rows_of_labels: Callable[[str, tf.Tensor], tf.Tensor] | None = None,
    ) -> Tensors:
        """Put the graph into the function that is being traced.

        Args:
            inputs: by name, as the function took them that the graph was made of.
            weight: gives the weight of a key.
            rows_of_labels: gives the rows of a key's weight at the labels, for those that nothing else is taken of;
                None: they are gathered.
        """
        fed = {place: inputs[name] for name, place in self.inputs.items()}
        fed |= {place: weight(key) for place, key in self.weights.items()}
        if rows_of_labels is not None:
            fed |= {place: rows_of_labels(key, inputs["labels"]) for place, key in self._gathered().items()}
        found = tf.graph_util.import_graph_def(
            self.definition, input_map=fed, return_elements=list(self.outputs.values()), name=""
        )
        return dict(zip(self.outputs, found, strict=True))

    def _gathered(self) -> dict[str, str]:
        """Names of the tensors that are rows of a weight at the labels, and its key."""
        constants = {node.name: node.attr["value"].tensor for node in self.definition.node if node.op == "Const"}

        def is_of_labels(node: tf.compat.v1.NodeDef) -> bool:
            table, indices, axis = node.input
            is_first_axis = axis in constants and not tf.make_ndarray(constants[axis]).any()
            at_labels = f"{indices}:0" == self.inputs["labels"] and not node.attr["batch_dims"].i
            return f"{table}:0" in self.weights and is_first_axis and at_labels

        gathers = [node for node in self.definition.node if node.op == "GatherV2" and is_of_labels(node)]
        return {f"{node.name}:0": self.weights[f"{node.input[0]}:0"] for node in gathers}


class WeightStore:
    """The weights of several graphs, equal ones once: graphs of one network have most in common.

    Attributes:
        values: by key.
    """

    def __init__(self) -> None:
        self.values: dict[str, np.ndarray] = {}

    def add(self, name: str, value: np.ndarray) -> str:
        """Take a weight and return its key, which begins with `name`."""
        content = hashlib.sha256(repr((value.dtype.str, value.shape)).encode() + np.ascontiguousarray(value).tobytes())
        digest = content.hexdigest()[:16]
        known = [key for key in self.values if key.endswith(digest)]
        key = known[0] if known else f"{name}_{digest}"
        self.values[key] = value
        return key


def inference_graph(
    network: keras.Model,
    function: Callable[..., Tensors],
    inputs: Mapping[str, tf.TensorSpec],
    store: WeightStore,
) -> InferenceGraph:
    """Traces a function of a network at inference.

    Args:
        network: of `build_generator` or `build_discriminator`.
        function: takes tensors by the names of `inputs`; calls the network, or parts of it, with `training=False`.
        inputs: what it takes.
        store: takes the weights.
    """
    specs = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in inputs.items()}
    with _constant(network):
        traced = tf.function(function, autograph=False).get_concrete_function(**specs)
    definition = traced.graph.as_graph_def()
    for node in definition.node:  # gradients written by hand are for training, and are found by what is in memory
        node.attr.pop("_gradient_op_type", None)
    weights = {}
    for value, placeholder in traced.graph.captures:
        if value.dtype == tf.resource:
            raise ValueError(f"`network` must have its weights in `network.variables`. Received: {placeholder.name}")
        weights[placeholder.name] = store.add(_plain_name(placeholder.name), value.numpy())
    return InferenceGraph(
        definition,
        {name: f"{name}:0" for name in specs},
        {name: tensor.name for name, tensor in traced.structured_outputs.items()},
        weights,
    )


@contextlib.contextmanager
def _constant(network: keras.Model) -> Iterator[None]:
    """A context in which a network's weights are tensors, as they are now, folded where they can be."""
    values = [(variable, tf.convert_to_tensor(variable)) for variable in network.variables]
    with folded(network), keras.StatelessScope(values):
        yield


def _plain_name(placeholder: str) -> str:
    """Return the part of a name that a person can use: letters and digits of the layer that the weight was made for."""
    parts = placeholder.partition(":")[0].split("/")[:-1]
    return "_".join(parts) or "weight"
