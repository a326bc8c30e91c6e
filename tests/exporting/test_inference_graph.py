"""Networks as graphs of their own: what is in them, what no longer is, and their weights, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from sagan_tf.exporting.inference_graph import InferenceGraph, WeightStore, inference_graph
from sagan_tf.exporting.signatures import export_generator, generator_sizes, input_specs
from sagan_tf.serving.contract import GENERATOR_SIGNATURES, SERVING_DEFAULT
from tests.exporting.small_export import Exported, export_config, inputs_for, make_generator, save_generator, tensors

READING = {"Assert", "If", "PartitionedCall", "ReadVariableOp", "StatefulPartitionedCall", "While"}
"""Operations that TensorFlow calls stateful, and that write nothing by themselves."""
ROOTS = {"Sqrt", "Rsqrt", "Square", "L2Loss", "EuclideanNorm"}
"""Norms need one of them: power iteration, and moving variances that were not folded."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return save_generator(tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return make_generator(export_config())


def graph_of(network: keras.Model, store: WeightStore) -> InferenceGraph:
    specs = input_specs(GENERATOR_SIGNATURES[SERVING_DEFAULT], generator_sizes(network))
    return inference_graph(
        network, lambda latents, labels: {"images": network([latents, labels], training=False)}, specs, store
    )


def nodes(graph: Any) -> Iterator[Any]:
    """Of a function's graph and of every function that it may call."""
    definition = graph.as_graph_def()
    yield from definition.node
    for function in definition.library.function:
        yield from function.node_def


def operations(graph: Any) -> Counter[str]:
    return Counter(node.op for node in nodes(graph))


def stateful(names: Counter[str]) -> set[str]:
    return {name for name in names if (found := op_def_registry.get(name)) is not None and found.is_stateful}


@pytest.mark.parametrize("signature", ["serving_default", "generate", "attention"])
def test_nothing_is_written_at_inference(exported: Exported, signature: str) -> None:
    names = operations(exported.model.signatures[signature].graph)
    assert stateful(names) <= READING and "ReadVariableOp" in names
    assert [name for name in names if name.startswith(("Assign", "Scatter", "Resource", "VarHandle"))] == []


def test_a_graph_that_writes_would_be_seen(network: keras.Model) -> None:
    """And one that iterates: the network itself in training does both."""
    specs = [tf.TensorSpec(one.shape, one.dtype) for one in network.inputs]
    traced = tf.function(lambda *inputs: network(list(inputs), training=True), autograph=False)
    names = operations(traced.get_concrete_function(*specs).graph)
    assert "AssignVariableOp" in stateful(names) - READING and names["MatMul"] > 1 and ROOTS & set(names)


@pytest.mark.parametrize("signature", ["serving_default", "attention"])
def test_nothing_is_computed_of_weights_alone(exported: Exported, signature: str) -> None:
    names = operations(exported.model.signatures[signature].graph)
    assert names["MatMul"] == 1  # of the latents; power iteration has three for each kernel
    assert not ROOTS & set(names) and names["RealDiv"] == 0


def test_weights_are_no_constants_in_the_graphs(exported: Exported) -> None:
    """TensorFlow makes constants of small tensors that a function captures: none may be read."""
    for signature in exported.model.signatures.values():
        everything = list(nodes(signature.graph))
        read = {name.partition(":")[0] for node in everything for name in node.input}
        weights = [
            node
            for node in everything
            if node.op == "Const" and node.attr["dtype"].type == tf.float32.as_datatype_enum and node.name in read
        ]
        assert all(tf.make_ndarray(node.attr["value"].tensor).size <= 1 for node in weights)


def test_weights_are_stored_once(exported: Exported) -> None:
    """Those that the signatures share, too; u, moving statistics and what else was folded are gone."""
    weights = {key: variable.numpy() for key, variable in exported.model.weights.items()}
    contents = {(value.shape, value.tobytes()) for value in weights.values()}
    assert len(contents) == len(weights)
    listed = tf.train.list_variables(str(exported.path / "variables" / "variables"))
    assert sum("VARIABLE_VALUE" in name for name, _ in listed) == len(weights)
    read = {
        name: {one.name for one in signature.graph.as_graph_def().node if one.op == "Placeholder"}
        for name, signature in exported.model.signatures.items()
    }
    assert set(read) == {"serving_default", "generate", "attention"}
    trained = [one for one in exported.network.trainable_variables if one.name not in ("gain", "bias")]
    # Kernels of 3 x 3 next to a doubling are kept as those of 4 x 4 that convolutions multiply with.
    most = sum(int(np.prod(one.shape)) for one in trained) * 16 / 9
    assert sum(value.size for value in weights.values() if value.ndim == 4) <= most


def test_no_variable_of_an_export_is_trained(exported: Exported) -> None:
    content = saved_model_pb2.SavedModel.FromString((exported.path / "saved_model.pb").read_bytes())
    variables = [
        node.variable for node in content.meta_graphs[0].object_graph_def.nodes if node.WhichOneof("kind") == "variable"
    ]
    assert len(variables) == len(exported.model.weights) and not any(one.trainable for one in variables)
    assert not any(variable.trainable for variable in export_generator(exported.network, 3).module.variables)


def test_a_graph_takes_its_weights_from_whoever_calls_it(network: keras.Model) -> None:
    """As variables, as constants, or others: nothing but the weights of the store decides its result."""
    store = WeightStore()
    graph = graph_of(network, store)
    assert set(graph.weights.values()) == set(store.values) and graph.inputs.keys() == {"latents", "labels"}
    inputs = tensors(inputs_for(export_config()))
    specs = [{name: tf.TensorSpec([None, *one.shape[1:]], one.dtype) for name, one in inputs.items()}]
    found = [
        tf.function(lambda inputs, of=of: graph(inputs, of), input_signature=specs, autograph=False)(inputs)["images"]
        for of in (lambda key: tf.constant(store.values[key]), lambda key: tf.constant(0.0 * store.values[key]))
    ]
    np.testing.assert_allclose(found[0], network(list(inputs.values()), training=False), atol=1e-5)
    np.testing.assert_array_equal(found[1], 0.0 * found[1])


def test_a_graph_keeps_the_weights_that_it_was_made_of(network: keras.Model) -> None:
    store, twin = WeightStore(), make_generator(export_config())
    graph_of(twin, store)
    before = {key: value.copy() for key, value in store.values.items()}
    for variable in twin.variables:
        variable.assign(2.0 * variable)
    assert all(np.array_equal(store.values[key], value) for key, value in before.items())


def test_a_weight_outside_the_network_is_an_error(network: keras.Model) -> None:
    other = tf.Variable(2.0)
    specs = input_specs(GENERATOR_SIGNATURES[SERVING_DEFAULT], generator_sizes(network))

    def function(latents: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"images": other * network([latents, labels], training=False)}

    with pytest.raises(ValueError, match="`network` must have its weights in `network.variables`"):
        inference_graph(network, function, specs, WeightStore())
    images = network(list(inputs_for(export_config()).values()), training=False)  # and nothing stays folded
    for variable in network.trainable_variables:
        if variable.name == "gain":
            variable.assign(1.5 * variable)
    assert np.abs(network(list(inputs_for(export_config()).values()), training=False) - images).max() > 1e-3


def test_equal_weights_have_one_key() -> None:
    store = WeightStore()
    zeros: np.ndarray = np.zeros(4, np.float32)
    key = store.add("block_1_bias", zeros)
    assert key.startswith("block_1_bias_") and store.add("block_2_bias", zeros.copy()) == key
    others = [zeros.reshape(2, 2), zeros.astype(np.int32), zeros + 1, -zeros, np.zeros(0, np.float32)]
    keys = [store.add("other", value) for value in others]
    assert len({key, *keys}) == 6 == len(store.values)
    for one, value in zip(keys, others, strict=True):
        np.testing.assert_array_equal(store.values[one], value)


def test_names_that_a_person_can_read(exported: Exported) -> None:
    names = list(exported.model.weights)
    assert all(name.isascii() and name.replace("_", "").isalnum() for name in names)
    for layer in ("dense", "block_1", "attention_16", "normalization", "image"):
        assert any(layer in name for name in names), layer
