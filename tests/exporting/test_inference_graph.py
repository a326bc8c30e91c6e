"""Inference graphs: their operations, and their weights, each of which is stored once."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from sagan_tf.exporting.inference_graph import InferenceGraph, WeightStore, build_inference_graph
from sagan_tf.exporting.signatures import build_input_specs, get_generator_sizes
from sagan_tf.serving.contract import GENERATOR_SIGNATURES, SERVING_DEFAULT
from tests.exporting.small_export import export_config, inputs_for, make_generator, tensors

READING = {"Assert", "If", "PartitionedCall", "ReadVariableOp", "StatefulPartitionedCall", "While"}
"""Operations that TensorFlow declares as stateful, but that write nothing by themselves."""
ROOTS = {"Sqrt", "Rsqrt", "Square", "L2Loss", "EuclideanNorm"}
"""Norms need one of them: those of power iteration, and of moving variances that were not folded."""


def build_graph(network: keras.Model, store: WeightStore) -> InferenceGraph:
    specs = build_input_specs(GENERATOR_SIGNATURES[SERVING_DEFAULT], get_generator_sizes(network))
    return build_inference_graph(
        network, lambda latents, labels: {"images": network([latents, labels], training=False)}, specs, store
    )


def iterate_nodes(graph: Any) -> Iterator[Any]:
    """Yield the nodes of a function's graph and of every function that it may call."""
    definition = graph.as_graph_def()
    yield from definition.node
    for function in definition.library.function:
        yield from function.node_def


def count_operations(graph: Any) -> Counter[str]:
    return Counter(node.op for node in iterate_nodes(graph))


@pytest.mark.parametrize("signature", ["serving_default", "generate", "attention"])
def test_inference_writes_nothing(exported, signature):
    names = count_operations(exported.model.signatures[signature].graph)
    stateful = {name for name in names if (found := op_def_registry.get(name)) is not None and found.is_stateful}
    assert stateful <= READING and "ReadVariableOp" in names
    assert [name for name in names if name.startswith(("Assign", "Scatter", "Resource", "VarHandle"))] == []


@pytest.mark.parametrize("signature", ["serving_default", "attention"])
def test_nothing_is_computed_from_weights_alone(exported, signature):
    names = count_operations(exported.model.signatures[signature].graph)
    assert names["MatMul"] == 1  # the product of the latents; power iteration has three for each kernel
    assert not ROOTS & set(names) and names["RealDiv"] == 0


def test_weights_are_not_constants_in_the_graphs(exported):
    """TensorFlow makes constants of small tensors that a function captures; no constant of weights may be read."""
    for signature in exported.model.signatures.values():
        everything = list(iterate_nodes(signature.graph))
        read = {name.partition(":")[0] for node in everything for name in node.input}
        weights = [
            node
            for node in everything
            if node.op == "Const" and node.attr["dtype"].type == tf.float32.as_datatype_enum and node.name in read
        ]
        assert all(tf.make_ndarray(node.attr["value"].tensor).size <= 1 for node in weights)


def test_weights_are_stored_once(exported):
    """This includes weights that signatures share. u, moving statistics and other folded weights are not stored."""
    weights = {key: variable.numpy() for key, variable in exported.model.weights.items()}
    contents = {(value.shape, value.tobytes()) for value in weights.values()}
    assert len(contents) == len(weights)
    content = saved_model_pb2.SavedModel.FromString((exported.path / "saved_model.pb").read_bytes())
    nodes = content.meta_graphs[0].object_graph_def.nodes
    stored = [node.variable for node in nodes if node.WhichOneof("kind") == "variable"]
    assert len(stored) == len(weights) and not any(variable.trainable for variable in stored)
    trained = [variable for variable in exported.network.trainable_variables if variable.name not in ("gain", "bias")]
    # Kernels of 3 x 3 next to an upsampling are stored as the kernels of 4 x 4 that convolutions multiply with.
    max_size = sum(int(np.prod(variable.shape)) for variable in trained) * 16 / 9
    assert sum(value.size for value in weights.values() if value.ndim == 4) <= max_size


def test_a_graph_takes_its_weights_from_the_caller(exported):
    """Only the weights that the caller gives decide the result."""
    network, store = exported.network, WeightStore()
    graph = build_graph(network, store)
    assert set(graph.weights.values()) == set(store.values) and graph.inputs.keys() == {"latents", "labels"}
    inputs = tensors(inputs_for(export_config()))
    specs = [{name: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype) for name, tensor in inputs.items()}]
    stored, zeros = (
        tf.function(lambda inputs, weight=weight: graph(inputs, weight), input_signature=specs, autograph=False)(inputs)
        for weight in (lambda key: tf.constant(store.values[key]), lambda key: tf.constant(0.0 * store.values[key]))
    )
    np.testing.assert_allclose(stored["images"], network(list(inputs.values()), training=False), atol=1e-5)
    np.testing.assert_array_equal(zeros["images"], 0.0 * zeros["images"])


def test_later_changes_of_the_network_do_not_change_the_graph():
    network, store = make_generator(export_config()), WeightStore()
    build_graph(network, store)
    before = {key: value.copy() for key, value in store.values.items()}
    for variable in network.variables:
        variable.assign(2.0 * variable)
    assert all(np.array_equal(store.values[key], value) for key, value in before.items())


def test_a_weight_outside_the_network_is_an_error():
    """The network is no longer folded afterwards."""
    network, factor, inputs = make_generator(export_config()), tf.Variable(2.0), inputs_for(export_config())
    specs = build_input_specs(GENERATOR_SIGNATURES[SERVING_DEFAULT], get_generator_sizes(network))

    def function(latents: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"images": factor * network([latents, labels], training=False)}

    with pytest.raises(ValueError, match=r"`network.variables`"):
        build_inference_graph(network, function, specs, WeightStore())
    images = network(list(inputs.values()), training=False)
    for variable in network.trainable_variables:
        if variable.name == "gain":
            variable.assign(1.5 * variable)
    assert np.abs(network(list(inputs.values()), training=False) - images).max() > 1e-3


def test_equal_weights_are_stored_under_one_key():
    store = WeightStore()
    zeros: np.ndarray = np.zeros(4, np.float32)
    key = store.add("block_1_bias", zeros)
    assert key.startswith("block_1_bias_") and store.add("block_2_bias", zeros.copy()) == key
    different = [zeros.reshape(2, 2), zeros.astype(np.int32), zeros + 1, -zeros, np.zeros(0, np.float32)]
    keys = [store.add("other", value) for value in different]
    assert len({key, *keys}) == 6 == len(store.values)
    for other_key, value in zip(keys, different, strict=True):
        np.testing.assert_array_equal(store.values[other_key], value)
