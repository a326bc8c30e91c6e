"""The discriminator: sizes, parameter counts, and logits computed from features."""

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import ModelConfig
from sagan_tf.layers import SelfAttention2D, SpectralNormalization
from sagan_tf.networks import build_discriminator
from sagan_tf.networks.architectures import ARCHITECTURES
from tests.networks.small_networks import images, labels, leaves, names_of, small_config, stir
from tests.networks.test_architectures import DISCRIMINATORS
from tests.networks.test_generator import count_trainable

# Numbers of trainable parameters of the official code and of TF-GAN's example; at 32 px, for twice the base width.
GOLDEN_COUNTS = [
    ({"num_classes": 1000, "attention_resolutions": ()}, 39_443_137),
    ({"num_classes": 1000, "attention_resolutions": (32,)}, 39_463_618),
    ({"num_classes": 1000, "attention_resolutions": (64,)}, 39_448_258),
    ({"resolution": 64, "num_classes": 200, "attention_resolutions": (32,)}, 19_752_642),
    ({"resolution": 32, "num_classes": 10, "attention_resolutions": (16,)}, 1_075_586),
]


@pytest.mark.parametrize(("options", "expected"), GOLDEN_COUNTS)
def test_golden_parameter_counts(options: dict[str, Any], expected: int) -> None:
    assert count_trainable(build_discriminator(ModelConfig(**options))) == expected


# test_architectures.py compares the other sizes; sngan has the stages of sagan.
@pytest.mark.parametrize(("architecture", "resolution"), [("sagan", 32), ("sagan", 128), ("dcgan", 64)])
def test_feature_maps(architecture: str, resolution: int) -> None:
    config = small_config(architecture=architecture, resolution=resolution, base_channels=2, attention_resolutions=())
    network = build_discriminator(config)
    blocks = [layer for layer in network.layers if layer.name.startswith("block_")]
    found = [(block.output.shape[1], block.output.shape[3] // 2) for block in blocks]
    assert found == DISCRIMINATORS[ARCHITECTURES[architecture].blocks, resolution]
    assert [tensor.shape for tensor in network.inputs] == [(None, resolution, resolution, 3), (None,)]
    assert [tensor.dtype for tensor in network.inputs] == ["float32", "int64"]
    assert network.outputs[0].shape == (None, 1)


def test_first_block_has_no_preactivation() -> None:
    """Negative values of images carry information, so there is no ReLU before the first convolution."""
    network = build_discriminator(small_config())
    blocks = [layer for layer in network.layers if layer.name.startswith("block_")]
    assert [block.preactivation for block in blocks] == [False, True, True, True]
    assert [block.downsample for block in blocks] == [True, True, False, False]


def compute_features(network: keras.Model, image_batch: np.ndarray) -> np.ndarray:
    """Compute phi(x), the sum of the last ReLU features over all locations."""
    last = [layer for layer in network.layers if layer.name.startswith("block_")][-1]
    maps = keras.Model(network.inputs, last.output)([image_batch, np.zeros(len(image_batch), np.int32)]).numpy()
    features = np.zeros((len(image_batch), maps.shape[-1]))
    for row, column in np.ndindex(*maps.shape[1:3]):
        features += np.maximum(maps[:, row, column], 0.0)
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


def test_configured_stages_and_width() -> None:
    """The feature maps have the widths, and the parameter count follows from the kernels."""
    config = small_config(discriminator_base_channels=3, discriminator_widths=(1, 2, 4), attention_resolutions=())
    network = build_discriminator(dataclasses.replace(config, discriminator_downsample=(True, False, True)))
    maps = [layer.output.shape[1:] for layer in network.layers if layer.name.startswith("block_")]
    assert maps == [(16, 16, 3), (16, 16, 6), (8, 8, 12)]
    blocks = sum(
        9 * inputs * filters + filters + 9 * filters * filters + filters + inputs * filters + filters
        for inputs, filters in ((3, 3), (3, 6), (6, 12))
    )
    assert count_trainable(network) == blocks + (12 + 1) + 3 * 12  # logits, and one embedding per class


def test_logits_do_not_depend_on_other_images() -> None:
    network = build_discriminator(small_config())
    stir(network)
    batched = network([images(), labels()], training=False).numpy()
    alone = network([images()[1:2], labels()[1:2]], training=False).numpy()
    np.testing.assert_allclose(alone, batched[1:2], rtol=1e-4, atol=1e-5)
    assert np.ptp(batched) > 1e-3


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


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"attention_resolutions": ()}, []),
        ({"attention_resolutions": (8, 16)}, ["attention_16", "attention_8"]),
        ({"attention_resolutions": (16,), "generator_attention_resolutions": (32,)}, ["attention_16"]),
        ({"attention_resolutions": (32,), "discriminator_attention_resolutions": (8,)}, ["attention_8"]),
    ],
)
def test_attention_placement(options: dict[str, Any], expected: list[str]) -> None:
    network = build_discriminator(small_config(**options))
    assert names_of(network, SelfAttention2D) == expected
    for name in expected:  # three blocks have size 8; attention follows the first of them
        block = {"attention_16": "block_1", "attention_8": "block_2"}[name]
        assert network.get_layer(name).input is network.get_layer(block).output
        assert network.get_layer(name).input.shape[1] == int(name.removeprefix("attention_"))


@pytest.mark.parametrize(
    ("conditioning", "enabled"),
    [("projection", True), ("auxiliary_classifier", True), ("projection", False), ("none", False)],
)
def test_spectral_normalization(conditioning: str, enabled: bool) -> None:
    """All convolutions, dense layers and embeddings are wrapped, or none, whatever the generator has."""
    options = {"discriminator_spectral_norm": enabled, "generator_spectral_norm": not enabled}
    network = build_discriminator(small_config(conditioning=conditioning, **options))
    wrapped = {path: isinstance(layer, SpectralNormalization) for path, layer in leaves(network)}
    assert set(wrapped.values()) == {enabled}
    # Two blocks of three convolutions, two of two (the shortcut is the identity), four of attention, output layers.
    assert len(wrapped) == 10 + 4 + {"none": 1}.get(conditioning, 2)
    assert sum(variable.name == "u" for variable in network.variables) == (len(wrapped) if enabled else 0)
    assert {variable.name for variable in network.trainable_variables} <= {"kernel", "bias", "embeddings", "gamma"}


@pytest.mark.parametrize(
    ("architecture", "conditioning"), [("sagan", "projection"), ("sngan", "auxiliary_classifier"), ("dcgan", "none")]
)
def test_gradients_reach_every_weight(architecture: str, conditioning: str) -> None:
    network = build_discriminator(small_config(architecture=architecture, conditioning=conditioning))
    stir(network)
    with tf.GradientTape() as tape:
        outputs = tf.nest.flatten(network([images(), labels()], training=True))
        loss = tf.add_n([tf.reduce_sum(tf.square(output)) for output in outputs])
    variables = network.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    assert all(float(tf.norm(tf.convert_to_tensor(gradient))) > 0.0 for gradient in gradients)


def test_mixed_precision_ends_in_float32() -> None:
    network = build_discriminator(small_config(), dtype_policy="mixed_bfloat16")
    heads = {"logits": "float32", "label_embedding": "float32"}
    for path, wrapper in leaves(network):
        assert wrapper.layer.compute_dtype == heads.get(path, "bfloat16"), path
    assert network.get_layer("block_4").output.dtype == "bfloat16"
    assert network.get_layer("activation").output.dtype == "float32"
    assert network.get_layer("label_embedding").output.dtype == "float32"
    assert network.outputs[0].dtype == "float32"


def test_zero_classes() -> None:
    with pytest.raises(ValueError, match="num_classes.* 0"):
        build_discriminator(small_config(num_classes=0))
