"""What every layer and network has to survive: tf.function, replicas, saving in every format, mixed precision."""

from __future__ import annotations

import inspect
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import average_moving_statistics
from tests.conformance.cases import CASES, Case
from tests.layers.replicas import run_on_replicas, two_replicas, values_on_replicas
from tests.networks.small_networks import stir

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture
def mixed_bfloat16() -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def stirred(case: Case, seed: int = 3) -> keras.Model:
    """The same weights for the same seed."""
    keras.utils.set_random_seed(seed)
    network = case.network()
    stir(network, seed)
    return network


def arrays(outputs: Any) -> list[np.ndarray]:
    return [tf.cast(output, "float32").numpy() for output in tf.nest.flatten(outputs)]


def call(network: keras.Model, case: Case, training: bool = False) -> list[np.ndarray]:
    return arrays(network(list(case.inputs), training=training))


def assert_close(ours: list[np.ndarray], expected: list[np.ndarray], tolerance: float = 1e-5) -> None:
    assert len(ours) == len(expected)
    for one, other in zip(ours, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=tolerance * max(np.abs(other).max(), 1.0))


def assert_same_variables(ours: keras.Model, expected: keras.Model) -> None:
    assert len(ours.variables) == len(expected.variables)
    for one, other in zip(ours.variables, expected.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


@every_case
def test_function_equals_eager(case: Case) -> None:
    """Of a training call: outputs, and variables afterwards."""
    eager, compiled = stirred(case), stirred(case)
    function = tf.function(lambda *inputs: compiled(list(inputs), training=True), autograph=False)
    assert_close(arrays(function(*case.inputs)), call(eager, case, training=True), 1e-4)
    for one, other in zip(compiled.variables, eager.variables, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-5, err_msg=one.path)


@every_case
def test_replicas_stay_equal(case: Case) -> None:
    """After training on different inputs every variable is the same on both, and something has moved.

    Layers make an update; networks are only called, since tests/training makes whole updates with them. Moving
    statistics are averaged, as training does it.
    """
    with two_replicas().scope():
        network = stirred(case)
        updated = network.trainable_variables if inspect.isclass(case.subject) else []
        optimizer = keras.optimizers.SGD(0.1)
        optimizer.build(updated)
    before = [variable.numpy() for variable in network.variables]

    def step(*inputs: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            outputs = tf.nest.flatten(network(list(inputs), training=True))
            loss = tf.add_n([tf.reduce_sum(tf.square(output)) for output in outputs])
        average_moving_statistics(network)
        if updated:
            optimizer.apply(tape.gradient(loss, [variable.value for variable in updated]), updated)
        return loss

    run_on_replicas(step, *([array, array[::-1] * 2 if array.dtype == np.float32 else array] for array in case.inputs))
    for variable in network.variables:
        first, second = values_on_replicas(variable)
        assert first.tobytes() == second.tobytes(), variable.path
    moved = [not np.array_equal(one, old) for one, old in zip(network.variables, before, strict=True)]
    assert any(moved) or not network.variables


@every_case
def test_checkpoint_round_trip(case: Case, tmp_path: pathlib.Path) -> None:
    saved, restored = stirred(case), stirred(case, seed=4)
    prefix = tf.train.Checkpoint(network=saved).write(str(tmp_path / "checkpoint"))
    status = tf.train.Checkpoint(network=restored).read(prefix)
    status.assert_existing_objects_matched()
    assert_same_variables(restored, saved)
    assert_close(call(restored, case), call(saved, case), 0.0)


@every_case
def test_saved_model_round_trip(case: Case, tmp_path: pathlib.Path) -> None:
    network = stirred(case)
    module = tf.Module()
    module.network = network
    module.call = tf.function(lambda *inputs: network(list(inputs), training=False), autograph=False)
    specs = [tf.TensorSpec([None, *array.shape[1:]], array.dtype) for array in case.inputs]
    tf.saved_model.save(module, tmp_path, signatures=module.call.get_concrete_function(*specs))
    loaded = tf.saved_model.load(tmp_path)
    assert_close(arrays(loaded.call(*map(tf.constant, case.inputs))), call(network, case))


@every_case
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_keras_file_round_trip(case: Case, tmp_path: pathlib.Path) -> None:
    """Without custom_objects: importing `sagan_tf.networks` is enough, see tests/networks/test_saving.py."""
    network = stirred(case)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert_same_variables(loaded, network)
    assert_close(call(loaded, case), call(network, case), 1e-6)


@every_case
def test_config_round_trip(case: Case) -> None:
    network = stirred(case)
    copy = type(network).from_config(network.get_config())
    assert copy.get_config() == network.get_config()
    copy.set_weights(network.get_weights())
    assert_close(call(copy, case), call(network, case), 1e-6)


@every_case
@pytest.mark.usefixtures("mixed_bfloat16")
def test_mixed_precision(case: Case) -> None:
    network = stirred(case)
    assert {variable.dtype for variable in network.variables} <= {"float32"}
    outputs = {training: call(network, case, training) for training in (False, True)}
    keras.config.set_dtype_policy("float32")
    exact = stirred(case)
    assert_close(outputs[False], call(exact, case), 0.1)
    assert all(np.all(np.isfinite(output)) for output in outputs[True])
    assert all(np.all(np.isfinite(variable)) for variable in network.variables)
