"""The generator: its options, and the inputs that its images depend on."""

import keras
import numpy as np
import pytest

from sagan_tf import layers
from sagan_tf.errors import UserError
from sagan_tf.layers import BatchNormalization, ConditionalBatchNormalization, SpectralNormalization
from sagan_tf.networks import build_generator
from sagan_tf.networks.architectures import ARCHITECTURES
from tests.networks.small_networks import labels, latents, leaves, small_config, stir

every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


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


def test_options_reach_the_layers() -> None:
    config = small_config(
        spectral_norm_power_iterations=2,
        spectral_norm_epsilon=1e-3,
        spectral_norm_constraint="at_most",
        batch_norm_momentum=0.5,
        batch_norm_epsilon=1e-2,
        synchronized_batch_norm=True,
        attention_form="full",
        resampling="plain",
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
    assert {layer.form for layer in network._flatten_layers() if isinstance(layer, layers.ResamplingConvolution)} == {
        "plain"
    }


def test_mixed_precision_ends_in_float32() -> None:
    network = build_generator(small_config(), dtype_policy="mixed_bfloat16")
    assert {wrapper.layer.compute_dtype for _, wrapper in leaves(network)} == {"bfloat16"}
    assert network.get_layer("block_1").output.dtype == "bfloat16"
    assert network.outputs[0].dtype == "float32"
