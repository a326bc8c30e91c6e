"""The discriminator: logits computed from features."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.networks import build_discriminator
from sagan_tf.networks.residual_blocks import DiscriminatorBlock
from tests.networks.small_networks import images, labels, leaves, small_config, stir
from tests.networks.test_both_networks import count_trainable


def test_first_block_has_no_preactivation() -> None:
    """Negative values of images carry information, so there is no ReLU before the first convolution."""
    network = build_discriminator(small_config())
    blocks = [layer for layer in network.layers if layer.name.startswith("block_")]
    assert [block.preactivation for block in blocks] == [False, True, True, True]
    assert [block.downsample for block in blocks] == [True, True, False, False]


def test_widths_between_the_convolutions_of_a_block() -> None:
    """In SNGAN-projection's code, the second convolution changes the width, except in the first block."""
    options = {"discriminator_widths": (1, 2, 4, 8), "discriminator_minibatch_statistics": 2}
    for architecture, expected in (("sagan", [4, 8, 16, 32]), ("sngan", [4, 4, 8, 16])):
        network = build_discriminator(small_config(architecture=architecture, **options))
        blocks = [layer for layer in network.layers if layer.name.startswith("block_")]
        assert [block.hidden_filters for block in blocks] == expected
        assert [block.filters for block in blocks] == [4, 8, 16, 32]


def compute_features(network: keras.Model, image_batch: np.ndarray) -> np.ndarray:
    """Compute phi(x), the sum of the last activations over all locations.

    Only a residual block needs a ReLU after it.
    """
    last = [layer for layer in network.layers if layer.name.startswith("block_")][-1]
    maps = keras.Model(network.inputs, last.output)([image_batch, np.zeros(len(image_batch), np.int32)]).numpy()
    features = np.zeros((len(image_batch), maps.shape[-1]))
    for row, column in np.ndindex(*maps.shape[1:3]):
        features += np.maximum(maps[:, row, column], 0.0 if isinstance(last, DiscriminatorBlock) else -np.inf)
    return features


def get_weights(network: keras.Model, name: str) -> list[np.ndarray]:
    """Return the weights of an output layer as they are applied, with the kernel divided by sigma."""
    wrapper = network.get_layer(name)
    kernel, *bias = wrapper.layer.get_weights()
    return [kernel / wrapper.sigma().numpy(), *bias]


@pytest.mark.parametrize(("architecture", "image_channels"), [("sagan", 3), ("sngan", 1), ("dcgan", 4)])
def test_projection(architecture: str, image_channels: int) -> None:
    """Logits = psi(phi(x)) + <embed(y), phi(x)>, image by image."""
    config = small_config(architecture=architecture, image_channels=image_channels)
    network = build_discriminator(config)
    stir(network)
    image_batch, class_labels = images(config=config), np.array([2, 0, 2], np.int32)
    kernel, bias = get_weights(network, "logits")
    (table,) = get_weights(network, "label_embedding")
    expected = [
        [features @ kernel[:, 0] + bias[0] + sum(table[label] * features)]
        for features, label in zip(compute_features(network, image_batch), class_labels, strict=True)
    ]
    logits = network([image_batch, class_labels])
    assert logits.shape == (3, 1) and logits.dtype == tf.float32
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_auxiliary_classifier() -> None:
    network = build_discriminator(small_config(conditioning="auxiliary_classifier"))
    stir(network)
    features = compute_features(network, images())
    outputs = network([images(), labels()])
    assert [output.shape for output in outputs] == [(3, 1), (3, 3)]
    for name, output in zip(("logits", "class_logits"), outputs, strict=True):
        kernel, bias = get_weights(network, name)
        np.testing.assert_allclose(output.numpy(), features @ kernel + bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("pooling", "divisor"), [("sum", 1), ("mean", 64), ("scaled_sum", 8)])
def test_pooling_without_conditioning(pooling: str, divisor: int) -> None:
    """The sum over 64 locations is divided by a constant, and the number of parameters does not change."""
    config = small_config(conditioning="none", num_classes=0)
    network = build_discriminator(dataclasses.replace(config, discriminator_pooling=pooling))
    stir(network)
    kernel, bias = get_weights(network, "logits")
    expected = compute_features(network, images()) / divisor @ kernel + bias
    np.testing.assert_allclose(network([images(), labels()]).numpy(), expected, rtol=1e-4, atol=1e-4 / divisor)
    assert count_trainable(network) == count_trainable(build_discriminator(config))


@pytest.mark.parametrize("architecture", ["sagan", "dcgan"])
def test_minibatch_statistics_depend_on_the_group(architecture: str) -> None:
    """The logits of a group depend only on its own images, so real and fake groups do not influence each other."""
    network = build_discriminator(small_config(architecture=architecture, discriminator_minibatch_statistics=2))
    stir(network)
    changed = images(4).copy()
    changed[3] *= 0.2
    before, after = (network([x, labels(4)]).numpy() for x in (images(4), changed))
    np.testing.assert_array_equal(before[:2], after[:2])
    assert np.abs(before[2:] - after[2:]).min() > 1e-5
    last = [layer for layer in network.layers if layer.name.startswith("block_")][-1]
    assert last.input is network.get_layer("minibatch_statistics").output


def test_mixed_precision_ends_in_float32() -> None:
    network = build_discriminator(small_config(), dtype_policy="mixed_bfloat16")
    heads = {"logits": "float32", "label_embedding": "float32"}
    for path, wrapper in leaves(network):
        assert wrapper.layer.compute_dtype == heads.get(path, "bfloat16"), path
    assert network.get_layer("block_4").output.dtype == "bfloat16"
    assert network.get_layer("activation").output.dtype == "float32"
    assert network.get_layer("label_embedding").output.dtype == "float32"
    assert network.outputs[0].dtype == "float32"
