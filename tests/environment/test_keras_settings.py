"""Tests that results do not depend on the caller's Keras settings, and that these settings are kept."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import ModelConfig, TrainingConfig
from sagan_tf.environment.keras_settings import load_keras
from sagan_tf.errors import UserError
from sagan_tf.features.fashion_mnist_classifier import load_classifier
from sagan_tf.layers import ResamplingConvolution, SelfAttention2D
from sagan_tf.networks import build_discriminator, build_generator
from sagan_tf.networks.parameter_matched_block import ParameterMatchedBlock
from sagan_tf.training.state import create_optimizer
from tests.networks.small_networks import stir

ROOT = pathlib.Path(__file__).parents[2]
SETTINGS = ("float16", "channels_first", 0.1, "float64")
"""Values of floatx, image data format, epsilon and dtype policy that differ from the defaults."""


def current_settings() -> tuple[str, str, float, str]:
    config = keras.config
    return config.floatx(), config.image_data_format(), config.epsilon(), config.dtype_policy().name


def change_settings(floatx: str, image_data_format: str, epsilon: float, policy: str) -> None:
    keras.config.set_floatx(floatx)
    keras.config.set_image_data_format(image_data_format)
    keras.config.set_epsilon(epsilon)
    keras.config.set_dtype_policy(policy)


@pytest.fixture(autouse=True)
def restored_settings() -> Iterator[None]:
    before = current_settings()
    yield
    change_settings(*before)


def inputs_of(network: keras.Model) -> Any:
    """Return a batch of two random examples, with labels if the network takes labels."""
    inputs = [
        tf.constant([0, 1]) if tensor.dtype == "int32" else tf.random.stateless_normal((2, *tensor.shape[1:]), [1, 2])
        for tensor in network.inputs
    ]
    return inputs if len(inputs) > 1 else inputs[0]


def make_config(architecture: str) -> ModelConfig:
    attention = (8,) if architecture == "sagan" else ()
    return ModelConfig(architecture, resolution=32, num_classes=2, base_channels=2, attention_resolutions=attention)


def compute_results(architecture: str, policy: str) -> list[np.ndarray]:
    """Return weights and outputs of networks, variables of an optimizer and features of the packaged classifier."""
    config = make_config(architecture)
    keras.utils.set_random_seed(1)
    networks = [build_generator(config, dtype_policy=policy), build_discriminator(config, dtype_policy=policy)]
    if policy == "float32":
        networks.append(load_classifier()[0])
    found = [variable.numpy() for variable in create_optimizer(TrainingConfig(), 0.1).variables]
    for network in networks:
        stir(network)
        outputs = [network(inputs_of(network), training=training) for training in (False, True)]
        found += [variable.numpy() for variable in network.variables]
        found += [tensor.numpy() for tensor in tf.nest.flatten(outputs)]
    return found


@pytest.mark.parametrize(
    ("architecture", "policy"),
    [
        pytest.param("sagan", "mixed_bfloat16", marks=pytest.mark.slow),
        ("sagan", "float32"),
        ("dcgan", "mixed_bfloat16"),
    ],
)
def test_results_do_not_depend_on_the_callers_settings(architecture: str, policy: str) -> None:
    expected = compute_results(architecture, policy)
    change_settings(*SETTINGS)
    received = compute_results(architecture, policy)
    assert current_settings() == SETTINGS
    assert [array.dtype for array in received] == [array.dtype for array in expected]
    assert all(np.array_equal(*pair) for pair in zip(received, expected, strict=True))


@pytest.mark.parametrize(
    "create", [SelfAttention2D, lambda: ResamplingConvolution(8), lambda: ParameterMatchedBlock(8)]
)
def test_layers_follow_the_policy_and_stay_channels_last(create: Callable[[], keras.layers.Layer]) -> None:
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_bfloat16")
    outputs = create()(tf.ones([1, 4, 6, 8]))
    assert (outputs.dtype, tuple(outputs.shape)) == (tf.bfloat16, (1, 4, 6, 8))


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("architecture", ["sagan", "dcgan"])
def test_saved_network_loads_under_other_settings(architecture: str, tmp_path: pathlib.Path) -> None:
    network = build_generator(make_config(architecture))
    network.save(tmp_path / "generator.keras")
    change_settings(*SETTINGS)
    loaded = keras.saving.load_model(tmp_path / "generator.keras")
    assert {variable.dtype for variable in loaded.variables} == {"float32"}
    inputs = inputs_of(network)
    np.testing.assert_array_equal(loaded(inputs).numpy(), network(inputs).numpy())


def run_program(program: str, keras_home: pathlib.Path, settings: dict[str, object], **variables: str) -> None:
    """Run a Python program with Keras settings in keras.json and in environment variables."""
    content = json.dumps(settings)
    (keras_home / "keras.json").write_text(content)
    variables = {"KERAS_HOME": str(keras_home), "TF_CPP_MIN_LOG_LEVEL": "3"} | variables
    unchanged = "".join(f"assert os.environ[{name!r}] == {value!r}\n" for name, value in variables.items())
    program = f"import os\n{program}\n{unchanged}"
    environment = os.environ | variables | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (keras_home / "keras.json").read_text() == content


def test_commands_use_the_default_settings(tmp_path: pathlib.Path) -> None:
    """Valid, invalid and contradictory settings of the user are ignored."""
    program = (
        "from sagan_tf.cli.load_tensorflow import load_tensorflow\n"
        "load_tensorflow()\n"
        "from keras import config\n"
        "assert config.backend() == 'tensorflow' and config.max_epochs() is None\n"
        "assert (config.floatx(), config.image_data_format(), config.epsilon()) == ('float32', 'channels_last', 1e-7)"
    )
    settings = {"backend": "jax", "floatx": "float8", "image_data_format": "channels_first", "epsilon": 1}
    variables = {"TF_USE_LEGACY_KERAS": "1", "KERAS_BACKEND": "torch", "KERAS_MAX_EPOCHS": "x"}
    run_program(program, tmp_path, settings, **variables)


@pytest.mark.skipif(importlib.util.find_spec("jax") is not None, reason="needs a backend that is not installed")
@pytest.mark.slow
def test_keras_backend_selects_the_backend(tmp_path: pathlib.Path) -> None:
    """`test_structure.test_third_party_modules_are_imported_in_one_place` checks that other modules import Keras so."""
    program = "import sagan_tf.keras_backend\nfrom keras import config\nassert config.backend() == 'tensorflow'"
    run_program(program, tmp_path, {}, KERAS_BACKEND="jax")


@pytest.mark.skipif(importlib.util.find_spec("jax") is not None, reason="needs a backend that is not installed")
def test_library_selects_the_backend_and_keeps_other_settings(tmp_path: pathlib.Path) -> None:
    """At that point, TensorFlow has tried to import Keras with a backend that is not installed."""
    program = (
        "import tensorflow\n"
        "from sagan_tf.layers import SelfAttention2D\n"
        "from keras import config\n"
        "assert (config.backend(), config.floatx()) == ('tensorflow', 'float16')\n"
        "assert SelfAttention2D()(tensorflow.ones([1, 4, 4, 8])).shape == (1, 4, 4, 8)"
    )
    run_program(program, tmp_path, {"floatx": "float16"}, KERAS_BACKEND="jax")


def test_keras_imported_with_another_backend_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    for read_user_settings in (True, False):
        with pytest.raises(UserError, match="KERAS_BACKEND.*torch"):
            load_keras(read_user_settings=read_user_settings)


def test_cuda_libraries_are_loaded_with_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    monkeypatch.setattr("sagan_tf.environment.keras_settings.load_cuda_libraries", lambda: calls.append(True))
    load_keras()
    assert calls
