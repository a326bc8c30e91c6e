"""Parity of the 128 px networks with TF-GAN's SAGAN example: the same weights and inputs give the same results.

TF-GAN is independent of this project. It runs in its own process (`tfgan_reference.py`).

The networks are compared one by one: our discriminator gets TF-GAN's fake images, and our generator gets TF-GAN's
gradient with respect to its images. So rounding errors of one network, which ReLUs near 0 amplify, do not affect the
comparison of the other.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import ModelConfig
from sagan_tf.losses import LOSSES
from sagan_tf.networks import build_discriminator, build_generator

Arrays = dict[str, np.ndarray]

TOLERANCE = 1e-4
ROOT = Path(__file__).parents[2]
CONFIG = ModelConfig(
    architecture="sagan",
    resolution=128,
    num_classes=7,
    base_channels=8,
    attention_resolutions=(32,),
    attention_form="pooled",
    spectral_norm_constraint="at_most",
    batch_norm_epsilon=1e-3,
    batch_norm_momentum=0.999,
)
NETWORKS = ("generator", "discriminator")

LAYERS = {
    "g_snh0": "dense",
    "g_ops": "attention_32",
    "g_bn": "normalization",
    "g_snconv_last": "image",
    "d_optimized_block1": "block_1",
    "d_ops": "attention_32",
    "d_sn_linear": "logits",
    "d_embedding": "label_embedding",
}
PARTS = {
    "cbn_0": "normalization_1",
    "cbn_1": "normalization_2",
    "snconv1": "convolution_1",
    "snconv2": "convolution_2",
    "snconv3": "shortcut",
    "sn_conv1": "convolution_1",
    "sn_conv2": "convolution_2",
    "sn_conv3": "shortcut",
    "sn_conv_theta": "query",
    "sn_conv_phi": "key",
    "sn_conv_g": "value",
    "sn_conv_attn": "output",
}
# Variables of the layers that spectral normalization wraps, and variables of the layers themselves. TF-GAN's gamma and
# sigma_ratio are the gain of batch normalization and the gamma of attention here.
WRAPPED = {"kernel": "kernel", "weights": "kernel", "embedding_map": "embeddings"}
OWN = {
    "gamma": "gain",
    "beta": "bias",
    "moving_mean": "moving_mean",
    "moving_variance": "moving_variance",
    "sigma_ratio": "gamma",
    "spectral_norm_u": "u",
}


def our_path(name: str) -> str:
    """Return the path of our variable for TF-GAN's `name`, without the network that `name` begins with."""
    _, layer, *scopes, kind = name.split("/")
    path = [LAYERS.get(layer) or re.sub(r"^[gd]_block(\d)$", r"block_\1", layer)]
    path += [PARTS[scopes[0]]] if scopes and scopes[0] in PARTS else []
    if kind in WRAPPED or kind == "bias":
        return "/".join([*path, path[-1], WRAPPED.get(kind, "bias")])
    return "/".join([*path, OWN[kind]])


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    """The results of TF-GAN, with the keys of `tfgan_reference.py`."""
    path = tmp_path_factory.mktemp("parity") / "reference.npz"
    sizes = [f"--base_channels={CONFIG.base_channels}", f"--num_classes={CONFIG.num_classes}"]
    # On a GPU, convolutions in TensorFloat-32 would differ by more than the tolerance.
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "-m", "tests.parity.tfgan_reference", f"--output={path}", *sizes]
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def networks() -> dict[str, keras.Model]:
    """Our networks with their initial weights."""
    with tf.device("CPU:0"):
        return {"generator": build_generator(CONFIG), "discriminator": build_discriminator(CONFIG)}


@pytest.fixture(scope="module")
def ours(reference: Arrays, networks: dict[str, keras.Model]) -> Arrays:
    """The results of our networks with TF-GAN's weights and inputs, with the keys and shapes of `reference`."""
    with tf.device("CPU:0"):
        for name in names(reference, "before"):
            variable = our_variable(networks, name)
            variable.assign(reference[f"before/{name}"].reshape(variable.shape))
        results = inference(networks, reference) | training_pass(networks, reference)
    return {key: np.reshape(value, reference[key].shape) for key, value in results.items()}


def names(reference: Arrays, prefix: str, ending: str = "") -> list[str]:
    """Return TF-GAN's names of the variables with an array `prefix`/NAME."""
    return [
        key.removeprefix(f"{prefix}/") for key in reference if key.startswith(f"{prefix}/") and key.endswith(ending)
    ]


def our_variable(networks: dict[str, keras.Model], name: str) -> keras.Variable:
    """Return our variable for TF-GAN's `name`."""
    network, path = networks[name.split("/")[0]], our_path(name)
    (variable,) = (variable for variable in network.variables if variable.path == path)
    return variable


def inference(networks: dict[str, keras.Model], reference: Arrays) -> Arrays:
    """Return the images of the generator in inference mode."""
    images = networks["generator"]([reference["latents"], reference["labels"]], training=False)
    return {"inference_images": images.numpy()}


def training_pass(networks: dict[str, keras.Model], reference: Arrays) -> Arrays:
    """Return the outputs of each network in training mode, the gradients, and the variables afterwards."""
    results = {}
    fakes = tf.convert_to_tensor(reference["training_images"])
    images = tf.concat([reference["real_images"], fakes], axis=0)
    labels = tf.concat([reference["real_labels"], reference["labels"]], axis=0)
    with tf.GradientTape(persistent=True) as tape:
        results["training_images"] = networks["generator"]([reference["latents"], reference["labels"]], training=True)
        # By the chain rule, its gradient with respect to a weight is that of the generator loss.
        chained = tf.reduce_sum(results["training_images"] * reference["image_gradient"])
        tape.watch(images)
        logits = networks["discriminator"]([images, labels], training=True)
        results["real_logits"], results["fake_logits"] = tf.split(logits, 2)
        results["discriminator_loss"] = LOSSES["hinge"].discriminator(results["real_logits"], results["fake_logits"])
        results["generator_loss"] = LOSSES["hinge"].generator(results["fake_logits"])
    results["image_gradient"] = tape.gradient(results["generator_loss"], images)[len(fakes) :]
    for network, target in (("generator", chained), ("discriminator", results["discriminator_loss"])):
        own = [name for name in names(reference, "gradient") if name.startswith(network)]
        gradients = tape.gradient(target, [our_variable(networks, name).value for name in own])
        results |= {f"gradient/{name}": tf.convert_to_tensor(value) for name, value in zip(own, gradients, strict=True)}
    for name in names(reference, "after"):
        results[f"after/{name}"] = our_variable(networks, name).value
    return {key: value.numpy() for key, value in results.items()}


def relative_differences(ours: Arrays, reference: Arrays, keys: list[str]) -> dict[str, float]:
    """Return the largest difference in each array, relative to the largest entry of the arrays of the same layer.

    It is not relative to the array itself, since the gradient of a bias before batch normalization is 0 with rounding
    errors.
    """
    largest: dict[str, float] = {}
    for key in keys:
        layer = key.rsplit("/", 1)[0]
        largest[layer] = max(largest.get(layer, 0.0), np.max(np.abs(reference[key])))
    return {key: np.max(np.abs(ours[key] - reference[key])) / largest[key.rsplit("/", 1)[0]] for key in keys}


def assert_close(ours: Arrays, reference: Arrays, keys: list[str]) -> None:
    """Assert that no array differs by more than `TOLERANCE`; the error lists arrays in the order of the layers."""
    differences = relative_differences(ours, reference, keys)
    assert differences
    assert not {key: difference for key, difference in differences.items() if not difference <= TOLERANCE}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("prefix", ["before", "gradient"])
def test_every_variable_has_one_counterpart(
    reference: Arrays, networks: dict[str, keras.Model], network: str, prefix: str
) -> None:
    variables = networks[network].variables if prefix == "before" else networks[network].trainable_variables
    paths = [our_path(name) for name in names(reference, prefix) if name.startswith(network)]
    assert sorted(paths) == sorted(variable.path for variable in variables)


def test_the_reference_covers_every_branch(reference: Arrays) -> None:
    """The hinge is flat for some real and some fake images, and estimates of sigma are on both sides of 1."""
    for margins in (1.0 - reference["real_logits"], 1.0 + reference["fake_logits"]):
        assert margins.min() < 0.0 < margins.max()
    sigmas = []
    for name in names(reference, "after", "kernel"):
        (u,) = names(reference, "after", f"{name}/spectral_normalize/spectral_norm/spectral_norm_u")
        matrix = reference[f"after/{name}"].reshape(-1, reference[f"after/{name}"].shape[-1])
        sigmas.append(np.linalg.norm(matrix.T @ reference[f"after/{u}"]))
    assert min(sigmas) < 0.95 and max(sigmas) > 1.05


@pytest.mark.parametrize("key", ["training_images", "inference_images"])
def test_images(ours: Arrays, reference: Arrays, key: str) -> None:
    np.testing.assert_allclose(ours[key], reference[key], rtol=0.0, atol=TOLERANCE)


@pytest.mark.parametrize("key", ["real_logits", "fake_logits", "discriminator_loss", "generator_loss"])
def test_logits_and_losses(ours: Arrays, reference: Arrays, key: str) -> None:
    np.testing.assert_allclose(ours[key], reference[key], rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("prefix", "ending"), [("gradient", ""), ("after", "_u")])
def test_gradients_and_u_after_one_pass(
    ours: Arrays, reference: Arrays, network: str, prefix: str, ending: str
) -> None:
    keys = [f"{prefix}/{name}" for name in names(reference, prefix, ending) if name.startswith(network)]
    assert_close(ours, reference, keys)


def test_image_gradient(ours: Arrays, reference: Arrays) -> None:
    """Nearly all pixels agree.

    Where the inputs of max-pooling are equal up to rounding, the gradient may go to either of them. This changes it
    within their receptive field; with other seeds, up to 1.4 % of all entries differed.
    """
    difference = np.abs(ours["image_gradient"] - reference["image_gradient"])
    agree = difference <= TOLERANCE * np.max(np.abs(reference["image_gradient"]))
    assert np.mean(agree) > 0.95


@pytest.mark.parametrize("statistic", ["moving_mean", "moving_variance"])
def test_moving_statistics_after_one_pass(ours: Arrays, reference: Arrays, statistic: str) -> None:
    """Compares the changes of the values, which are small relative to the values themselves."""
    for name in names(reference, "after", statistic):
        before, after = reference[f"before/{name}"], reference[f"after/{name}"]
        resolution = 3e-7  # adjacent float32 numbers near 1, the size of these values, differ by 1.2e-7
        np.testing.assert_allclose(ours[f"after/{name}"] - before, after - before, TOLERANCE, resolution, err_msg=name)
