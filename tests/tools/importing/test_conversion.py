"""Tests of the state of a run from checkpoints of random values with the names of both codes."""

from __future__ import annotations

import dataclasses
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import Config, ModelConfig, TrainingConfig
from sagan_tf.errors import UserError
from sagan_tf.training.state import TrainState, create_state
from tools.importing.configuration import CheckpointDescription
from tools.importing.conversion import fill_state, list_unused_variables
from tools.importing.tf1_checkpoint import AVERAGE_SUFFIX, Tf1Checkpoint
from tools.importing.tfgan_names import NAMINGS

TFGAN, OFFICIAL = NAMINGS
SCOPES = {"generator": "model/", "discriminator": "model/"}
MODEL = ModelConfig(
    resolution=32,
    num_classes=3,
    base_channels=2,
    discriminator_base_channels=3,
    image_channels=1,
    attention_resolutions=(16,),
)
CONFIG = Config(model=MODEL, training=TrainingConfig(seed=1))

Arrays = dict[str, np.ndarray]


def random_arrays(config: Config, found: CheckpointDescription) -> Arrays:
    """Return random values of all variables of a checkpoint, with Adam's slots.

    Args:
        config: The configuration of the networks.
        found: The description of the checkpoint, with its networks and its code.
    """
    rng, state, arrays = np.random.default_rng(0), create_state(config), {}
    for network in found.scopes:
        model: keras.Model = getattr(state, network)
        trained = {variable.path for variable in model.trainable_variables}
        shapes = {variable.path: tuple(variable.shape) for variable in model.variables}
        for path, shape in shapes.items():
            name = found.translate(network, path)
            if path.endswith("/u") and found.naming.has_column_u:
                layer = path.split("/")[-2]
                kernel = shapes.get(f"{path[:-2]}/{layer}/kernel", shapes.get(f"{path[:-2]}/{layer}/embeddings"))
                shape = (1, kernel[0] if "embedding" in path else kernel[-1])
            arrays[name] = rng.uniform(0.1, 1.0, size=shape).astype(np.float32)
            if path in trained:
                arrays[f"{name}/Adam"], arrays[f"{name}/Adam_1"] = rng.uniform(size=(2, *shape)).astype(np.float32)
    return arrays | {"global_step": np.int64(12), "beta2_power_1": np.float32(0.5)}


def save(arrays: Arrays, directory: pathlib.Path) -> Tf1Checkpoint:
    prefix = str(directory / "model.ckpt")
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=list(arrays), shape_and_slices=[""] * len(arrays), tensors=list(arrays.values())
    )
    return Tf1Checkpoint(prefix)


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return random_arrays(CONFIG, CheckpointDescription(TFGAN, SCOPES, False, {}))


def values_of(state: TrainState, network: str) -> Arrays:
    return {variable.path: variable.numpy() for variable in getattr(state, network).variables}


def filled(
    arrays: Arrays, directory: pathlib.Path, found: CheckpointDescription | None = None, config: Config = CONFIG
) -> tuple[TrainState, list[str]]:
    found = found or CheckpointDescription(TFGAN, SCOPES, False, {})
    state, checkpoint = create_state(config), save(arrays, directory)
    lines = fill_state(state, checkpoint, found)
    return state, [*lines, *list_unused_variables(checkpoint, found, config.training.adam_beta1)]


def test_every_variable_is_imported(arrays: Arrays, tmp_path: pathlib.Path) -> None:
    state, lines = filled(arrays, tmp_path)
    for network in SCOPES:
        for path, value in values_of(state, network).items():
            np.testing.assert_array_equal(value, arrays[TFGAN.translate(network, path, "model/")].reshape(value.shape))
    assert all(
        np.array_equal(value, values_of(state, "generator")[path])
        for path, value in values_of(state, "generator_ema").items()
    )
    assert int(state.step) == int(state.generator_optimizer.iterations) == 12
    assert int(state.discriminator_optimizer.iterations) == 12
    moments = len(state.generator.trainable_variables), len(state.discriminator.trainable_variables)
    assert [f"generator's Adam: {moments[0]} moments", f"discriminator's Adam: {moments[1]} moments"] == lines[4:6]
    assert lines[6] == "1 powers of Adam's decays, which follow from the step (beta2_power_1)"
    assert lines[7].startswith(
        f"{sum(moments)} first moments of Adam, which with adam_beta1 0 are the gradients (model/"
    )
    assert len(lines) == 8


def test_an_update_uses_the_imported_moments(arrays: Arrays, tmp_path: pathlib.Path) -> None:
    """The expected update is that of TF1's AdamOptimizer."""
    state, _ = filled(arrays, tmp_path)
    gradients = [tf.fill(variable.shape, 0.5) for variable in state.generator.trainable_variables]
    before = values_of(state, "generator")
    state.generator_optimizer.apply(gradients, state.generator.trainable_variables)
    after = values_of(state, "generator")
    for path in ("dense/dense/kernel", "block_1/normalization_1/gain", "attention_16/gamma"):
        second = arrays[TFGAN.translate("generator", path, "model/") + "/Adam_1"].reshape(before[path].shape)
        rate = 1e-4 * np.sqrt(1.0 - 0.999**13)
        expected = -rate * 0.5 / (np.sqrt(0.999 * second + 0.001 * 0.25) + 1e-8)
        np.testing.assert_allclose(after[path] - before[path], expected, rtol=0.0, atol=2e-7)


def test_both_moments_are_imported_if_adam_has_two(arrays: Arrays, tmp_path: pathlib.Path) -> None:
    training = dataclasses.replace(CONFIG.training, adam_beta1=0.5)
    state, lines = filled(arrays, tmp_path, config=dataclasses.replace(CONFIG, training=training))
    name = TFGAN.translate("generator", "image/image/kernel", "model/")
    index = [variable.path for variable in state.generator.trainable_variables].index("image/image/kernel")
    np.testing.assert_array_equal(state.generator_optimizer._momentums[index], arrays[f"{name}/Adam"])
    np.testing.assert_array_equal(state.generator_optimizer._velocities[index], arrays[f"{name}/Adam_1"])
    assert not any("first moments" in line for line in lines)


def test_incomplete_moments_are_not_imported(arrays: Arrays, tmp_path: pathlib.Path) -> None:
    name = TFGAN.translate("generator", "image/image/bias", "model/")
    state, lines = filled({key: value for key, value in arrays.items() if key != f"{name}/Adam_1"}, tmp_path)
    moments = len(state.generator.trainable_variables)
    assert f"generator's Adam: reset, since the checkpoint has only {moments - 1} of {moments} moments" in lines
    assert int(state.generator_optimizer.iterations) == 0 and int(state.discriminator_optimizer.iterations) == 12
    assert any(line.startswith(f"{moments - 1} second moments of Adam (model/g_") for line in lines)


def test_moving_averages_are_imported_into_the_ema_generator_only(arrays: Arrays, tmp_path: pathlib.Path) -> None:
    name = TFGAN.translate("generator", "dense/dense/kernel", "model/")
    other = TFGAN.translate("discriminator", "logits/logits/kernel", "model/") + AVERAGE_SUFFIX
    averages = {name + AVERAGE_SUFFIX: 2.0 * arrays[name], other: np.float32(1.0)}
    state, lines = filled(arrays | averages, tmp_path, CheckpointDescription(TFGAN, SCOPES, True, {}))
    live, averaged = values_of(state, "generator"), values_of(state, "generator_ema")
    np.testing.assert_array_equal(averaged.pop("dense/dense/kernel"), 2.0 * live["dense/dense/kernel"])
    assert all(np.array_equal(value, live[path]) for path, value in averaged.items())
    assert "EMA generator: from its moving averages" in lines
    assert f"1 moving averages of variables that are not averaged here ({other})" in lines


def test_sigma_equals_that_of_the_official_code(tmp_path: pathlib.Path) -> None:
    found = CheckpointDescription(OFFICIAL, SCOPES, False, {})
    arrays = random_arrays(CONFIG, found)
    state, _ = filled(arrays, tmp_path, found)
    for network in SCOPES:
        layers = [layer for layer in getattr(state, network)._flatten_layers() if hasattr(layer, "power_iterations")]
        assert len(layers) > 10
        for layer in layers:
            name = OFFICIAL.translate(network, layer.u.path, "model/")
            kernel = layer.layer.weights[0].numpy()
            matrix = kernel.T if "embedding" in name else kernel.reshape(-1, kernel.shape[-1])
            v = matrix @ arrays[name].reshape(-1)
            assert float(layer.sigma()) == pytest.approx(np.linalg.norm(matrix.T @ v) / np.linalg.norm(v), rel=1e-5)


def test_a_generator_alone(arrays: Arrays, tmp_path: pathlib.Path) -> None:
    state, lines = filled(arrays, tmp_path, CheckpointDescription(TFGAN, {"generator": "model/"}, False, {}))
    expected = values_of(create_state(CONFIG), "discriminator")
    assert all(np.array_equal(value, expected[path]) for path, value in values_of(state, "discriminator").items())
    of_discriminator = [name for name in arrays if name.startswith("model/d_")]
    assert f"{len(of_discriminator)} variables of the discriminator ({min(of_discriminator)}, ...)" in lines


def test_unknown_variables_are_listed(arrays: Arrays, tmp_path: pathlib.Path) -> None:
    unknown = {"model/accu_mean": np.float32(0), "x/accu_mean": np.float32(0), "g_step": np.int32(1)}
    del (arrays := arrays | unknown)["global_step"]
    state, lines = filled(arrays, tmp_path)
    assert int(state.step) == 0 and "step: 0, since there is no global_step" in lines
    assert "2 variables called accu_mean (model/accu_mean, ...)" in lines and "1 counters of updates (g_step)" in lines


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model/g_bn/gamma": None}, "TF-GAN's example's generator, missing: model/g_bn/gamma"),
        ({"model/g_bn/moving_mean": None}, "without moving statistics"),
        ({"model/g_bn/gamma": np.zeros(3)}, r"received \[3\] for model/g_bn/gamma \(expected \[8\]\)"),
        ({"model/d_embedding/embedding_map": np.zeros([4, 4])}, r"discriminator, received \[4, 4\] for model/d_embed"),
        ({"global_step": np.array([1, 2])}, r"global_step .* received \[1, 2\]"),
    ],
)
def test_wrong_variables_are_refused(
    arrays: Arrays, tmp_path: pathlib.Path, changes: dict[str, np.ndarray | None], message: str
) -> None:
    changed = {name: value for name, value in {**arrays, **changes}.items() if value is not None}
    with pytest.raises(UserError, match=message):
        filled(changed, tmp_path)
