"""Graphs of networks in inference mode, without their weights and without Keras.

Kernels are divided by their sigma, moving statistics are folded into gains and biases, and the factors of convolutions
are computed from the kernels once. A graph can be inserted into any function, with its weights as variables or as
constants.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from sagan_tf.generation.inference import constant_weights
from sagan_tf.keras_backend import keras

Tensors = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class InferenceGraph:
    """A function of tensors as a graph without its weights.

    Attributes:
        definition: The graph.
        inputs: Names of placeholders, by the names of the inputs.
        outputs: Names of tensors, by the names of the outputs.
        weights: Keys of a `WeightStore`, by the names of the placeholders of the weights.
    """

    definition: tf.compat.v1.GraphDef
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    weights: Mapping[str, str]

    def __call__(
        self,
        inputs: Tensors,
        weight: Callable[[str], tf.Tensor],
        gather_at_labels: Callable[[str, tf.Tensor], tf.Tensor] | None = None,
    ) -> Tensors:
        """Insert the graph into the function that is being traced.

        Args:
            inputs: Tensors by name, as the original function takes them.
            weight: Returns the weight of a key.
            gather_at_labels: Returns the rows of a key's weight at the labels, in place of each gather of them in the
                graph. None: The graph gathers the rows.

        Returns:
            The outputs by name.
        """
        fed = {placeholder: inputs[name] for name, placeholder in self.inputs.items()}
        fed |= {placeholder: weight(key) for placeholder, key in self.weights.items()}
        if gather_at_labels is not None:
            fed |= {name: gather_at_labels(key, inputs["labels"]) for name, key in self._find_label_gathers().items()}
        outputs = tf.graph_util.import_graph_def(
            self.definition, input_map=fed, return_elements=list(self.outputs.values()), name=""
        )
        return dict(zip(self.outputs, outputs, strict=True))

    def _find_label_gathers(self) -> dict[str, str]:
        """Find the gathers of rows of a weight at the labels.

        Returns:
            The keys of the weights by the names of the gathered tensors.
        """
        constants = {node.name: node.attr["value"].tensor for node in self.definition.node if node.op == "Const"}

        def is_at_labels(node: tf.compat.v1.NodeDef) -> bool:
            table, indices, axis = node.input
            is_first_axis = axis in constants and not tf.make_ndarray(constants[axis]).any()
            has_labels = f"{indices}:0" == self.inputs["labels"] and not node.attr["batch_dims"].i
            return f"{table}:0" in self.weights and is_first_axis and has_labels

        gathers = [node for node in self.definition.node if node.op == "GatherV2" and is_at_labels(node)]
        return {f"{node.name}:0": self.weights[f"{node.input[0]}:0"] for node in gathers}


class WeightStore:
    """The weights of several graphs.

    Equal weights, which the graphs of a network share, are stored once.

    Attributes:
        values: The weights by key.
    """

    def __init__(self) -> None:
        self.values: dict[str, np.ndarray] = {}

    def add(self, name: str, value: np.ndarray) -> str:
        """Store a weight and return its key, which begins with `name`."""
        content = hashlib.sha256(repr((value.dtype.str, value.shape)).encode() + np.ascontiguousarray(value).tobytes())
        digest = content.hexdigest()[:16]
        known = [key for key in self.values if key.endswith(digest)]
        key = known[0] if known else f"{name}_{digest}"
        self.values[key] = value
        return key


def build_inference_graph(
    network: keras.Model,
    function: Callable[..., Tensors],
    inputs: Mapping[str, tf.TensorSpec],
    store: WeightStore,
) -> InferenceGraph:
    """Trace a function of a network in inference mode.

    Args:
        network: A network of `build_generator` or `build_discriminator`.
        function: Takes tensors by the names of `inputs`, and calls the network or parts of it with `training=False`.
        inputs: Specifications of the inputs of `function`, by name.
        store: Receives the weights.

    Returns:
        The graph, whose weights are in `store`.

    Raises:
        ValueError: If `function` uses a variable that is not in `network.variables`.
    """
    specs = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in inputs.items()}
    with constant_weights(network):
        traced = tf.function(function, autograph=False).get_concrete_function(**specs)
    definition = traced.graph.as_graph_def()
    # Custom gradients are for training only, and are found by an identifier that is valid in this process only.
    for node in definition.node:
        node.attr.pop("_gradient_op_type", None)
    weights = {}
    for value, placeholder in traced.graph.captures:
        if value.dtype == tf.resource:
            raise ValueError(f"`network` must have its weights in `network.variables`. Received: {placeholder.name}")
        weights[placeholder.name] = store.add(_extract_layer_name(placeholder.name), value.numpy())
    return InferenceGraph(
        definition,
        {name: f"{name}:0" for name in specs},
        {name: tensor.name for name, tensor in traced.structured_outputs.items()},
        weights,
    )


def _extract_layer_name(placeholder: str) -> str:
    """Return the name of the layer that a weight belongs to, from its placeholder."""
    parts = placeholder.partition(":")[0].split("/")[:-1]
    return "_".join(parts) or "weight"
