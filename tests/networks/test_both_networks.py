"""Properties of both networks: parameter counts, feature maps, attention, spectral normalization and gradients."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import ModelConfig
from sagan_tf.layers import SelfAttention2D, SpectralNormalization
from sagan_tf.networks import build_discriminator, build_generator
from sagan_tf.networks.architectures import ARCHITECTURES
from tests.networks.small_networks import images, labels, latents, leaves, names_of, small_config, stir
from tests.networks.test_architectures import DISCRIMINATORS, GENERATORS

CIFAR = {"resolution": 32, "num_classes": 10, "attention_resolutions": (16,)}
SNGAN = {"architecture": "sngan", "generator_spectral_norm": False, "attention_resolutions": ()}
TINY_IMAGENET = {"resolution": 64, "num_classes": 200, "attention_resolutions": (32,)}
# Numbers of trainable parameters of the official code and of TF-GAN's example; at 32 px, the discriminator has twice
# the base width. Those of sngan are the sums over the layers of gen_models/resnet.py and dis_models/snresnet.py in
# pfnet-research/sngan_projection.
GOLDEN_COUNTS = [
    ({"num_classes": 1000, "attention_resolutions": ()}, 41_996_931, 39_443_137),
    ({"num_classes": 1000, "attention_resolutions": (32,)}, 42_078_852, 39_463_618),
    ({"num_classes": 1000, "attention_resolutions": (64,)}, 42_017_412, 39_448_258),
    (TINY_IMAGENET, 13_387_396, 19_752_642),
    (CIFAR, 4_386_308, 1_075_586),
    ({"num_classes": 1000, **SNGAN}, 41_996_931, 30_041_857),
]


def count_trainable(network: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


@pytest.mark.parametrize(("options", "in_generator", "in_discriminator"), GOLDEN_COUNTS)
def test_golden_parameter_counts(options: dict[str, Any], in_generator: int, in_discriminator: int) -> None:
    assert count_trainable(build_generator(ModelConfig(**options))) == in_generator
    assert count_trainable(build_discriminator(ModelConfig(**options))) == in_discriminator


# test_architectures.py compares the other sizes; sngan has the stages of sagan.
@pytest.mark.parametrize(("architecture", "resolution"), [("sagan", 32), ("sagan", 128), ("dcgan", 64)])
def test_feature_maps(architecture: str, resolution: int) -> None:
    config = small_config(architecture=architecture, resolution=resolution, base_channels=2, attention_resolutions=())
    generator, discriminator = build_generator(config), build_discriminator(config)
    for network, table in ((generator, GENERATORS), (discriminator, DISCRIMINATORS)):
        blocks = [layer for layer in network.layers if layer.name.startswith("block_")]
        found = [(block.output.shape[1], block.output.shape[3] // 2) for block in blocks]
        assert found == table[ARCHITECTURES[architecture].blocks, resolution]
    image = (None, resolution, resolution, 3)
    assert [(tensor.shape, tensor.dtype) for tensor in generator.inputs] == [((None, 6), "float32"), ((None,), "int32")]
    assert [(tensor.shape, tensor.dtype) for tensor in discriminator.inputs] == [(image, "float32"), ((None,), "int64")]
    assert (generator.outputs[0].shape, discriminator.outputs[0].shape) == (image, (None, 1))


@pytest.mark.parametrize(
    ("options", "in_generator", "in_discriminator"),
    [
        ({"attention_resolutions": ()}, [], []),
        ({"attention_resolutions": (8, 16)}, ["attention_8", "attention_16"], ["attention_16", "attention_8"]),
        ({"generator_attention_resolutions": (32,)}, ["attention_32"], ["attention_16"]),
        ({"discriminator_attention_resolutions": (8,)}, ["attention_16"], ["attention_8"]),
        ({"generator_attention_resolutions": ()}, [], ["attention_16"]),
        ({"discriminator_attention_resolutions": ()}, ["attention_16"], []),
    ],
)
def test_attention_placement(options: dict[str, Any], in_generator: list[str], in_discriminator: list[str]) -> None:
    """Attention follows the block whose output has its size; the discriminator has three blocks of size 8."""
    generator, discriminator = build_generator(small_config(**options)), build_discriminator(small_config(**options))
    blocks = {"attention_8": (1, 2), "attention_16": (2, 1), "attention_32": (3, 0)}
    for index, (network, names) in enumerate(((generator, in_generator), (discriminator, in_discriminator))):
        assert names_of(network, SelfAttention2D) == names
        for name in names:
            features = network.get_layer(name).input
            assert features is network.get_layer(f"block_{blocks[name][index]}").output
            assert features.shape[1] == int(name.removeprefix("attention_"))


# The dense layer, nine convolutions of blocks (three of dcgan), attention and the image; in the discriminator, two
# blocks of three convolutions and two of two, whose shortcut is the identity, attention and output layers.
@pytest.mark.parametrize(
    ("build", "options", "count"),
    [
        (build_generator, {}, 1 + 9 + 4 + 1),
        (build_generator, {"architecture": "dcgan"}, 1 + 3 + 4 + 1),
        (build_discriminator, {}, 10 + 4 + 2),
        (build_discriminator, {"conditioning": "auxiliary_classifier"}, 10 + 4 + 2),
        (build_discriminator, {"conditioning": "none"}, 10 + 4 + 1),
    ],
)
@pytest.mark.parametrize("enabled", [False, True])
def test_spectral_normalization(build: Any, options: dict[str, Any], count: int, enabled: bool) -> None:
    """All convolutions, dense layers and embeddings of one network are wrapped, or none; tables never are."""
    own, other = "generator_spectral_norm", "discriminator_spectral_norm"
    own, other = (own, other) if build is build_generator else (other, own)
    norms = {own: enabled, other: not enabled}
    network = build(small_config(**options, **norms))
    wrapped = {path: isinstance(layer, SpectralNormalization) for path, layer in leaves(network)}
    assert set(wrapped.values()) == {enabled} and len(wrapped) == count
    assert sum(variable.name == "u" for variable in network.variables) == (count if enabled else 0)


@pytest.mark.parametrize("build", [build_generator, build_discriminator])
@pytest.mark.parametrize(
    ("architecture", "conditioning"), [("sagan", "projection"), ("sngan", "auxiliary_classifier"), ("dcgan", "none")]
)
def test_gradients_reach_every_weight(build: Any, architecture: str, conditioning: str) -> None:
    """Biases before batch normalization are excluded, because it removes their effect."""
    network = build(small_config(architecture=architecture, conditioning=conditioning))
    stir(network)
    first = latents(6) if build is build_generator else images(6)
    with tf.GradientTape() as tape:
        outputs = tf.nest.flatten(network([first, labels(6)], training=True))
        loss = tf.add_n([tf.reduce_sum(tf.square(output)) for output in outputs])
    gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
    for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
        is_removed = build is build_generator and variable.path.endswith("bias")
        if not is_removed or "normalization" in variable.path or variable.path == "image/bias":
            assert float(tf.norm(tf.convert_to_tensor(gradient))) > 1e-3, variable.path


@pytest.mark.parametrize("build", [build_generator, build_discriminator])
def test_zero_classes(build: Any) -> None:
    with pytest.raises(ValueError, match="num_classes.* 0"):
        build(small_config(num_classes=0))
    build(small_config(num_classes=0, conditioning="none"))
