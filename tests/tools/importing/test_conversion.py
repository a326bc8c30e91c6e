"""Optimizers, missing and wrong variables. test_import_tfgan_checkpoint.py compares networks with TF-GAN's."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import Config, ModelConfig, TrainingConfig
from sagan_tf.errors import UserError
from sagan_tf.training.state import TrainState, create_state
from tools.importing.configuration import CheckpointDescription
from tools.importing.conversion import fill_state, list_unused_variables
from tools.importing.tf1_checkpoint import Tf1Checkpoint
from tools.importing.tfgan_names import NAMINGS

TFGAN, _ = NAMINGS
SCOPES = {"generator": "model/", "discriminator": "model/"}
MODEL = ModelConfig(resolution=32, num_classes=3, base_channels=2, image_channels=1, attention_resolutions=(16,))
CONFIG = Config(model=MODEL, training=TrainingConfig(seed=1))

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    """Return random values of all variables of a checkpoint, with Adam's slots."""
    rng, state, found = np.random.default_rng(0), create_state(CONFIG), {}
    for network in SCOPES:
        trained = {variable.path for variable in getattr(state, network).trainable_variables}
        for variable in getattr(state, network).variables:
            name, shape = TFGAN.translate(network, variable.path, "model/"), tuple(variable.shape)
            found[name] = rng.uniform(0.1, 1.0, size=shape).astype(np.float32)
            if variable.path in trained:
                found[f"{name}/Adam"], found[f"{name}/Adam_1"] = rng.uniform(size=(2, *shape)).astype(np.float32)
    return found | {"global_step": np.int64(12), "beta2_power_1": np.float32(0.5)}


def save(arrays: Arrays, directory: pathlib.Path) -> Tf1Checkpoint:
    prefix = str(directory / "model.ckpt")
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=list(arrays), shape_and_slices=[""] * len(arrays), tensors=list(arrays.values())
    )
    return Tf1Checkpoint(prefix)


def values_of(state: TrainState, network: str) -> Arrays:
    return {variable.path: variable.numpy() for variable in getattr(state, network).variables}


def filled(
    arrays: Arrays, directory: pathlib.Path, found: CheckpointDescription | None = None, config: Config = CONFIG
) -> tuple[TrainState, list[str]]:
    found = found or CheckpointDescription(TFGAN, SCOPES, False, {})
    state, checkpoint = create_state(config), save(arrays, directory)
    lines = fill_state(state, checkpoint, found)
    return state, [*lines, *list_unused_variables(checkpoint, found, config.training.adam_beta1)]


def test_an_update_uses_the_imported_moments(arrays: Arrays, tmp_path: pathlib.Path) -> None:
    """The expected update is that of TF1's AdamOptimizer."""
    state, _ = filled(arrays, tmp_path)
    assert int(state.step) == int(state.generator_optimizer.iterations) == 12
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
    state, _ = filled(arrays, tmp_path, config=dataclasses.replace(CONFIG, training=training))
    name = TFGAN.translate("generator", "image/image/kernel", "model/")
    index = [variable.path for variable in state.generator.trainable_variables].index("image/image/kernel")
    np.testing.assert_array_equal(state.generator_optimizer._momentums[index], arrays[f"{name}/Adam"])
    np.testing.assert_array_equal(state.generator_optimizer._velocities[index], arrays[f"{name}/Adam_1"])


def test_incomplete_moments_are_not_imported(arrays: Arrays, tmp_path: pathlib.Path) -> None:
    name = TFGAN.translate("generator", "image/image/bias", "model/")
    state, lines = filled({key: value for key, value in arrays.items() if key != f"{name}/Adam_1"}, tmp_path)
    moments = len(state.generator.trainable_variables)
    assert any("reset" in line and f"{moments - 1} of {moments}" in line for line in lines)
    assert int(state.generator_optimizer.iterations) == 0 and int(state.discriminator_optimizer.iterations) == 12


def test_a_generator_alone(arrays: Arrays, tmp_path: pathlib.Path) -> None:
    state, lines = filled(arrays, tmp_path, CheckpointDescription(TFGAN, {"generator": "model/"}, False, {}))
    expected = values_of(create_state(CONFIG), "discriminator")
    assert all(np.array_equal(value, expected[path]) for path, value in values_of(state, "discriminator").items())
    assert any(min(name for name in arrays if name.startswith("model/d_")) in line for line in lines)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model/g_bn/gamma": None}, "model/g_bn/gamma"),
        ({"model/g_bn/moving_mean": None}, "moving statistics"),
        ({"model/g_bn/gamma": np.zeros(3)}, r"\[3\] for model/g_bn/gamma"),
        ({"model/d_embedding/embedding_map": np.zeros([4, 4])}, r"\[4, 4\] for model/d_embedding"),
        ({"global_step": np.array([1, 2])}, r"global_step .*\[1, 2\]"),
    ],
)
def test_wrong_variables_are_refused(
    arrays: Arrays, tmp_path: pathlib.Path, changes: dict[str, np.ndarray | None], named: str
) -> None:
    changed = {name: value for name, value in {**arrays, **changes}.items() if value is not None}
    with pytest.raises(UserError, match=named):
        filled(changed, tmp_path)
