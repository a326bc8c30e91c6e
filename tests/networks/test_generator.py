"""The generator: sizes, parameter counts, and the inputs that its images depend on."""

import itertools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import ModelConfig
from sagan_tf.errors import UserError
from sagan_tf.layers import BatchNormalization, ConditionalBatchNormalization, SelfAttention2D, SpectralNormalization
from sagan_tf.networks import build_generator
from sagan_tf.networks.architectures import ARCHITECTURES
from tests.networks.small_networks import labels, latents, leaves, names_of, small_config, stir
from tests.networks.test_architectures import GENERATORS

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)

# Numbers of trainable parameters of the official code and of TF-GAN's example.
GOLDEN_COUNTS = [
    ({"num_classes": 1000, "attention_resolutions": ()}, 41_996_931),
    ({"num_classes": 1000, "attention_resolutions": (32,)}, 42_078_852),
    ({"num_classes": 1000, "attention_resolutions": (64,)}, 42_017_412),
    ({"resolution": 64, "num_classes": 200, "attention_resolutions": (32,)}, 13_387_396),
    ({"resolution": 32, "num_classes": 10, "attention_resolutions": (16,)}, 4_386_308),
]


def count_trainable(network: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


@pytest.mark.parametrize(("options", "expected"), GOLDEN_COUNTS)
def test_golden_parameter_counts(options: dict[str, Any], expected: int) -> None:
    assert count_trainable(build_generator(ModelConfig(**options))) == expected


# test_architectures.py compares the other sizes; sngan has the stages of sagan.
@pytest.mark.parametrize(("architecture", "resolution"), [("sagan", 32), ("sagan", 128), ("dcgan", 64)])
def test_feature_maps(architecture: str, resolution: int) -> None:
    config = small_config(architecture=architecture, resolution=resolution, base_channels=2, attention_resolutions=())
    network = build_generator(config)
    blocks = [layer for layer in network.layers if layer.name.startswith("block_")]
    found = [(block.output.shape[1], block.output.shape[3] // 2) for block in blocks]
    assert found == GENERATORS[ARCHITECTURES[architecture].blocks, resolution]
    assert [tensor.shape for tensor in network.inputs] == [(None, 6), (None,)]
    assert [tensor.dtype for tensor in network.inputs] == ["float32", "int32"]
    assert network.outputs[0].shape == (None, resolution, resolution, 3)


def test_configured_widths() -> None:
    """The feature maps have the widths, and the parameter count follows from the kernels and class tables."""
    widths = (5, 4, 2, 1)
    config = small_config(base_channels=2, generator_widths=widths, attention_resolutions=())
    network = build_generator(config)
    channels = [2 * width for width in widths]
    maps = [layer.output.shape[1:] for layer in network.layers if layer.name.startswith("block_")]
    assert maps == [(8, 8, 8), (16, 16, 4), (32, 32, 2)]
    blocks = sum(
        9 * inputs * filters + 9 * filters * filters + inputs * filters + 3 * filters + 3 * 2 * (inputs + filters)
        for inputs, filters in itertools.pairwise(channels)
    )
    first, last = (6 + 1) * 16 * channels[0], 2 * channels[-1] + (9 * channels[-1] + 1) * 3
    assert count_trainable(network) == first + blocks + last


@pytest.mark.parametrize(("architecture", "image_channels"), [("sagan", 3), ("sngan", 1), ("dcgan", 4)])
def test_images(architecture: str, image_channels: int) -> None:
    config = small_config(architecture=architecture, image_channels=image_channels)
    network = build_generator(config)
    stir(network)
    outputs = network([10.0 * latents(), labels()], training=True).numpy()
    assert outputs.shape == (3, 32, 32, image_channels)
    assert outputs.dtype == np.float32
    assert outputs.min() >= -1.0 and outputs.max() <= 1.0
    assert outputs.std() > 0.1


@pytest.mark.parametrize(
    ("architecture", "conditioning"), [("sagan", "projection"), ("sngan", "auxiliary_classifier"), ("dcgan", "none")]
)
def test_images_depend_on_labels_unless_unconditional(architecture: str, conditioning: str) -> None:
    config = small_config(architecture=architecture, conditioning=conditioning)
    network = build_generator(config)
    stir(network)
    first = network([latents(), np.zeros(3, np.int32)]).numpy()
    second = network([latents(), np.ones(3, np.int32)]).numpy()
    assert np.array_equal(first, second) == (conditioning == "none")
    kinds = {type(layer) for layer in network._flatten_layers() if isinstance(layer, BatchNormalization)}
    assert kinds == {BatchNormalization} | (set() if conditioning == "none" else {ConditionalBatchNormalization})
    tables = [layer for layer in network._flatten_layers() if isinstance(layer, ConditionalBatchNormalization)]
    assert all(layer.num_classes == config.num_classes for layer in tables)


def test_images_at_inference_do_not_depend_on_their_batch() -> None:
    network = build_generator(small_config())
    stir(network)
    batched = network([latents(), labels()]).numpy()
    alone = network([latents()[1:2], labels()[1:2]]).numpy()
    np.testing.assert_allclose(batched[1:2], alone, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"attention_resolutions": ()}, []),
        ({"attention_resolutions": (8, 16)}, ["attention_8", "attention_16"]),
        ({"attention_resolutions": (16,), "generator_attention_resolutions": (32,)}, ["attention_32"]),
        ({"attention_resolutions": (16,), "generator_attention_resolutions": ()}, []),
        ({"attention_resolutions": (16,), "discriminator_attention_resolutions": (8,)}, ["attention_16"]),
    ],
)
def test_attention_placement(options: dict[str, Any], expected: list[str]) -> None:
    network = build_generator(small_config(**options))
    assert names_of(network, SelfAttention2D) == expected
    for name in expected:  # after the block whose output has this size
        feature_map = network.get_layer(name).input
        size = int(name.removeprefix("attention_"))
        assert feature_map.shape[1:3] == (size, size)
        assert feature_map is network.get_layer(f"block_{int(np.log2(size)) - 2}").output


@pytest.mark.parametrize(
    ("architecture", "conditioning"), [("sagan", "projection"), ("sngan", "none"), ("dcgan", "projection")]
)
def test_latents_to_every_block(architecture: str, conditioning: str) -> None:
    """Each part of the latents changes the images, and only the first part changes the first layer."""
    options = {"architecture": architecture, "conditioning": conditioning, "latent_dim": 8}
    network = build_generator(small_config(latents_to_every_block=True, **options))
    stir(network)
    wrapped = {path: layer for path, layer in leaves(network) if "normalization" in path}
    assert len(wrapped) == 2 * (3 if architecture == "dcgan" else 6)
    is_normalized = ARCHITECTURES[architecture].attention  # small_config does not normalize the generator of sngan
    assert {isinstance(layer, SpectralNormalization) for layer in wrapped.values()} == {is_normalized}
    z = np.tile(latents(1, small_config(latent_dim=8)), (5, 1))
    for part in range(4):
        z[1 + part, 2 * part : 2 * part + 2] += 1.0
    first = keras.Model(network.inputs, network.get_layer("first_feature_map").output)
    images, maps = (model([z, np.zeros(5, np.int32)]).numpy() for model in (network, first))
    assert all(np.abs(images[row] - images[0]).max() > 1e-3 for row in range(1, 5))
    assert [not np.allclose(maps[row], maps[0]) for row in range(1, 5)] == [True, False, False, False]
    other_label = network([z, np.full(5, 2, np.int32)]).numpy()
    assert np.array_equal(images, other_label) == (conditioning == "none")


def test_latents_that_cannot_be_split_are_rejected() -> None:
    with pytest.raises(UserError, match=r"latent_dim.*--latents_to_every_block.* 6$"):
        build_generator(small_config(latents_to_every_block=True))


@pytest.mark.parametrize("architecture", ["sagan", "dcgan"])
@pytest.mark.parametrize("enabled", [False, True])
def test_spectral_normalization(architecture: str, enabled: bool) -> None:
    """All convolutions and the dense layer are wrapped, or none; batch normalization tables never are."""
    network = build_generator(small_config(architecture=architecture, generator_spectral_norm=enabled))
    wrapped = {path: isinstance(layer, SpectralNormalization) for path, layer in leaves(network)}
    assert set(wrapped.values()) == {enabled}
    blocks = 9 if architecture == "sagan" else 3
    assert len(wrapped) == 1 + blocks + 4 + 1  # dense, blocks, attention, image
    assert sum(variable.name == "u" for variable in network.variables) == (len(wrapped) if enabled else 0)


def test_options_reach_the_layers() -> None:
    config = small_config(
        spectral_norm_power_iterations=2,
        spectral_norm_epsilon=1e-3,
        spectral_norm_constraint="at_most",
        batch_norm_momentum=0.5,
        batch_norm_epsilon=1e-2,
        synchronized_batch_norm=True,
        attention_form="full",
    )
    network = build_generator(config)
    wrappers = [layer for _, layer in leaves(network)]
    assert {(layer.power_iterations, layer.epsilon) for layer in wrappers} == {(2, 1e-3)}
    # Kernels of attention are always divided by sigma.
    assert {layer.constraint for layer in wrappers if "attention" in layer.path} == {"equal"}
    assert {layer.constraint for layer in wrappers if "attention" not in layer.path} == {"at_most"}
    norms = [layer for layer in network._flatten_layers() if isinstance(layer, BatchNormalization)]
    assert {(layer.momentum, layer.epsilon, layer.synchronized) for layer in norms} == {(0.5, 1e-2, True)}
    assert network.get_layer("attention_16").form == "full"


@every_architecture
def test_gradients_reach_every_weight(architecture: str) -> None:
    """Biases before batch normalization are excluded, because it removes their effect."""
    network = build_generator(small_config(architecture=architecture))
    stir(network)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(network([latents(6), labels(6)], training=True)))
    gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
    for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        if variable.path != "image/bias" and variable.path.endswith("bias") and "normalization" not in variable.path:
            continue
        assert float(tf.norm(tf.convert_to_tensor(gradient))) > 1e-3, variable.path


def test_mixed_precision_ends_in_float32() -> None:
    network = build_generator(small_config(), dtype_policy="mixed_bfloat16")
    assert {wrapper.layer.compute_dtype for _, wrapper in leaves(network)} == {"bfloat16"}
    assert network.get_layer("block_1").output.dtype == "bfloat16"
    assert network.outputs[0].dtype == "float32"


def test_zero_classes() -> None:
    with pytest.raises(ValueError, match="num_classes.* 0"):
        build_generator(small_config(num_classes=0))
    build_generator(small_config(num_classes=0, conditioning="none"))
