"""Tests of every layer and network: tf.function, replicas, saving in every format and mixed precision."""

import functools
import inspect
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf import layers
from sagan_tf.layers import average_moving_statistics
from sagan_tf.networks.convolutional_blocks import ConvolutionalDiscriminatorBlock, ConvolutionalGeneratorBlock
from sagan_tf.networks.parameter_matched_block import ParameterMatchedBlock
from sagan_tf.networks.residual_blocks import DiscriminatorBlock, GeneratorBlock
from tests.conformance.cases import CASES, Case
from tests.layers.replicas import run_on_replicas, two_replicas, values_on_replicas
from tests.networks.small_networks import stir

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
# These rows are variants of others, which are tested quickly.
VARIANTS = (
    *("normalized_transposed", "normalized_embedding", "normalized_wide_dense", "normalized_minimal_convolution"),
    *("attention_paper", "attention_full", "batch_norm_synchronized", "convolutional_generator_block"),
    *(
        "convolutional_discriminator_block",
        "discriminator_with_mean_pooling",
        "discriminator_with_minibatch_statistics",
    ),
    *("generator_with_latents_to_every_block", "discriminator_with_auxiliary_classifier"),
)
every_case_quickly = pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow if case.name in VARIANTS else ()) for case in CASES],
    ids=lambda case: case.name,
)


@pytest.fixture
def mixed_bfloat16() -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@functools.cache
def reference_network(name: str) -> tuple[keras.Model, list[np.ndarray]]:
    """Return a network that no test may change, and its outputs at inference."""
    (case,) = (case for case in CASES if case.name == name)
    network = create_network(case)
    return network, call(network, case)


def create_network(case: Case, seed: int = 3) -> keras.Model:
    """Return a network with random weights, which are equal for equal seeds."""
    keras.utils.set_random_seed(seed)
    network = case.network()
    stir(network, seed)
    return network


def arrays(outputs: Any) -> list[np.ndarray]:
    return [tf.cast(output, "float32").numpy() for output in tf.nest.flatten(outputs)]


def call(network: keras.Model, case: Case, training: bool = False) -> list[np.ndarray]:
    return arrays(network(list(case.inputs), training=training))


def assert_close(actual: list[np.ndarray], desired: list[np.ndarray], tolerance: float = 1e-5) -> None:
    assert len(actual) == len(desired)
    for actual_array, desired_array in zip(actual, desired, strict=True):
        assert actual_array.shape == desired_array.shape
        atol = tolerance * max(np.abs(desired_array).max(), 1.0)
        np.testing.assert_allclose(actual_array, desired_array, atol=atol)


def assert_equal_variables(actual: keras.Model, desired: keras.Model) -> None:
    assert len(actual.variables) == len(desired.variables)
    for variable, expected in zip(actual.variables, desired.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), expected.numpy(), err_msg=variable.path)


@every_case_quickly
def test_function_equals_eager(case: Case) -> None:
    """The outputs of a training call and the variables after it are equal."""
    eager, compiled = create_network(case), create_network(case)
    function = tf.function(lambda *inputs: compiled(list(inputs), training=True), autograph=False)
    expected = call(eager, case, training=True)
    assert_close(arrays(function(*case.inputs)), expected, 1e-4)
    shapes = [output.shape[1:] for output in eager.outputs]
    assert shapes == [output.shape[1:] for output in expected]
    for variable, expected in zip(compiled.variables, eager.variables, strict=True):
        np.testing.assert_allclose(variable.numpy(), expected.numpy(), atol=1e-5, err_msg=variable.path)


@every_case_quickly
def test_replicas_stay_equal(case: Case) -> None:
    """After a step on different inputs, every variable is equal on both replicas, and a variable has changed.

    Layers are updated. Networks are only called, because tests/training updates them. Moving statistics are averaged,
    as in training.
    """
    with two_replicas().scope():
        network = create_network(case)
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
    changed = [not np.array_equal(variable, old) for variable, old in zip(network.variables, before, strict=True)]
    assert any(changed) or not network.variables


@every_case_quickly
def test_checkpoint_round_trip(case: Case, tmp_path: pathlib.Path) -> None:
    (saved, expected), restored = reference_network(case.name), create_network(case, seed=4)
    prefix = tf.train.Checkpoint(network=saved).write(str(tmp_path / "checkpoint"))
    status = tf.train.Checkpoint(network=restored).read(prefix)
    status.assert_existing_objects_matched()
    assert_equal_variables(restored, saved)
    assert_close(call(restored, case), expected, 0.0)


@every_case_quickly
def test_saved_model_round_trip(case: Case, tmp_path: pathlib.Path) -> None:
    network, expected = reference_network(case.name)
    module = tf.Module()
    module.network = network
    module.call = tf.function(lambda *inputs: network(list(inputs), training=False), autograph=False)
    specs = [tf.TensorSpec([None, *array.shape[1:]], array.dtype) for array in case.inputs]
    tf.saved_model.save(module, tmp_path, signatures=module.call.get_concrete_function(*specs))
    loaded = tf.saved_model.load(tmp_path)
    assert_close(arrays(loaded.call(*map(tf.constant, case.inputs))), expected)


@every_case
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_keras_file_round_trip(case: Case, tmp_path: pathlib.Path) -> None:
    """Loading needs no custom_objects; importing `sagan_tf.networks` suffices (tests/networks/test_saving.py)."""
    network, expected = reference_network(case.name)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert_equal_variables(loaded, network)
    assert_close(call(loaded, case), expected, 1e-6)


@every_case_quickly
@pytest.mark.usefixtures("mixed_bfloat16")
def test_mixed_precision(case: Case) -> None:
    network = create_network(case)
    assert {variable.dtype for variable in network.variables} <= {"float32"}
    inference, training = (call(network, case, training) for training in (False, True))
    keras.config.set_dtype_policy("float32")
    assert_close(inference, reference_network(case.name)[1], 0.1)
    assert all(np.all(np.isfinite(output)) for output in training)
    assert all(np.all(np.isfinite(variable)) for variable in network.variables)


NORM = {"momentum": 0.5, "epsilon": 1e-3, "synchronized": True}
BLOCK = {
    "filters": 8,
    "spectral_norm": {"epsilon": 1e-4},
    "kernel_initializer": "orthogonal",
    "convolution_form": "plain",
}
CONDITIONED = BLOCK | {"num_classes": 2, "batch_norm": NORM, "takes_latents": True}
ARGUMENTS: dict[Any, dict[str, Any]] = {
    layers.SpectralNormalization: {"layer": keras.layers.Dense(3), "power_iterations": 2, "epsilon": 1e-5}
    | {"constraint": "at_most"},
    layers.ResamplingConvolution: {"filters": 7, "kernel_size": 1, "resampling": "up", "form": "strided"},
    layers.SelfAttention2D: {"form": "full", "spectral_norm": {"epsilon": 1e-4}, "kernel_initializer": "orthogonal"}
    | {"blockwise": True},
    layers.BatchNormalization: NORM,
    layers.ConditionalBatchNormalization: NORM | {"num_classes": 5},
    layers.LatentBatchNormalization: NORM
    | {"num_classes": 5, "spectral_norm": {"epsilon": 1e-4}, "kernel_initializer": "orthogonal"},
    layers.MinibatchStatistics: {"group_size": 3},
    GeneratorBlock: CONDITIONED,
    DiscriminatorBlock: BLOCK | {"downsample": False, "preactivation": False, "hidden_filters": 5},
    ConvolutionalGeneratorBlock: CONDITIONED,
    ConvolutionalDiscriminatorBlock: BLOCK,
    ParameterMatchedBlock: BLOCK | {"form": "full"},
}


@pytest.mark.parametrize("subject", ARGUMENTS, ids=lambda subject: subject.__name__)
def test_config_keeps_every_argument(subject: Any) -> None:
    """Every argument of a layer has a value that is not its default; test_coverage.py demands a row for every layer."""
    arguments = ARGUMENTS[subject]
    owners = [owner for owner in subject.__mro__ if owner.__module__.startswith("sagan_tf")]
    names = {name for owner in owners for name in inspect.signature(owner.__init__).parameters}
    assert names - {"self", "args", "kwargs"} == arguments.keys()
    original = subject(**arguments)
    copy = subject.from_config(original.get_config())
    assert copy.get_config() == original.get_config()
    assert all(getattr(copy, name) == getattr(original, name) for name in arguments.keys() - {"layer"})
