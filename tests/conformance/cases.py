"""Table of the public layers, blocks and networks, with a function that creates each and its inputs.

`test_coverage.py` fails if a public class or function has no row. `test_conformance.py` tests every row.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from sagan_tf.config import ModelConfig
from sagan_tf.layers import (
    BatchNormalization,
    ConditionalBatchNormalization,
    LatentBatchNormalization,
    MinibatchStatistics,
    ResamplingConvolution,
    SelfAttention2D,
    SpectralNormalization,
)
from sagan_tf.networks import build_discriminator, build_generator
from sagan_tf.networks.convolutional_blocks import ConvolutionalDiscriminatorBlock, ConvolutionalGeneratorBlock
from sagan_tf.networks.parameter_matched_block import ParameterMatchedBlock
from sagan_tf.networks.residual_blocks import DiscriminatorBlock, GeneratorBlock

BATCH = 2
LABELS = np.array([1, 0], np.int32)


@dataclasses.dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        name: The name of the test.
        subject: The class of the layer, or the function that builds the network.
        create: A function that creates a layer or a network.
        inputs: A batch of inputs.
    """

    name: str
    subject: Callable[..., Any]
    create: Callable[[], keras.layers.Layer]
    inputs: tuple[np.ndarray, ...]

    def network(self) -> keras.Model:
        """Return the network, or a network that consists of the layer only."""
        created = self.create()
        if isinstance(created, keras.Model):
            return created
        symbols = [keras.Input(array.shape[1:], dtype=array.dtype.name) for array in self.inputs]
        return keras.Model(symbols, created(symbols if len(symbols) > 1 else symbols[0]))


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(BATCH, *shape)).astype(np.float32)


FEATURES = normal(4, 4, 8)
CONDITIONED = (FEATURES, LABELS)


def normalized(name: str, layer: Callable[..., keras.layers.Layer], *args: Any, **options: Any) -> Case:
    """Return the row of a layer with normalized kernels."""
    inputs = normal(5) if layer is keras.layers.Dense else LABELS if layer is keras.layers.Embedding else FEATURES
    return Case(
        f"normalized_{name}", SpectralNormalization, lambda: SpectralNormalization(layer(*args), **options), (inputs,)
    )


def layer(
    name: str, subject: Callable[..., Any], *args: Any, inputs: tuple[np.ndarray, ...] = (FEATURES,), **options: Any
) -> Case:
    return Case(name, subject, lambda: subject(*args, **options), inputs)


def network(name: str, build: Callable[..., keras.Model], **options: Any) -> Case:
    """Return the row of a network with the global dtype policy, which layers follow by default.

    Without attention the architecture is `dcgan`, which is traced faster, for features that every architecture has.
    """
    defaults: dict[str, Any] = {"resolution": 32, "num_classes": 2, "base_channels": 2, "latent_dim": 4}
    config = ModelConfig(**{**defaults, "architecture": "dcgan", "attention_resolutions": (), **options})
    first = normal(4) if build is build_generator else normal(32, 32, config.image_channels)
    return Case(name, build, lambda: build(config, dtype_policy=keras.config.dtype_policy().name), (first, LABELS))


SAGAN: dict[str, Any] = {"architecture": "sagan", "attention_resolutions": (8,), "attention_form": "pooled"}
CASES = [
    normalized("conv", keras.layers.Conv2D, 3, 3),
    normalized("transposed", keras.layers.Conv2DTranspose, 3, 4),
    normalized("dense", keras.layers.Dense, 3, power_iterations=2),
    normalized("embedding", keras.layers.Embedding, 2, 3),
    # In this layer the inputs are divided by sigma, because the kernel is larger.
    normalized("wide_dense", keras.layers.Dense, 24),
    normalized("minimal_convolution", ResamplingConvolution, 3, 3, "none", "minimal_4"),
    layer("upsampling_convolution", ResamplingConvolution, 3, 3, "up", "strided"),
    layer("downsampling_convolution", ResamplingConvolution, 3, 3, "down", "minimal_4"),
    layer("attention_pooled", SelfAttention2D, "pooled", {}),
    layer("attention_paper", SelfAttention2D, "paper"),
    layer("attention_full", SelfAttention2D, "full", {"epsilon": 1e-6}),
    layer("batch_norm", BatchNormalization),
    layer("batch_norm_synchronized", BatchNormalization, synchronized=True),
    layer("conditional_batch_norm", ConditionalBatchNormalization, 2, inputs=CONDITIONED),
    layer("latent_batch_norm", LatentBatchNormalization, 2, spectral_norm={}, inputs=(*CONDITIONED, normal(3))),
    layer("minibatch_statistics", MinibatchStatistics, 2),
    layer("generator_block", GeneratorBlock, 4, 2, spectral_norm={}, inputs=CONDITIONED),
    layer("discriminator_block", DiscriminatorBlock, 8, downsample=False, preactivation=False, spectral_norm={}),
    layer("convolutional_generator_block", ConvolutionalGeneratorBlock, 4, 2, spectral_norm={}, inputs=CONDITIONED),
    layer("convolutional_discriminator_block", ConvolutionalDiscriminatorBlock, 4, spectral_norm={}),
    layer("parameter_matched_block", ParameterMatchedBlock, 8, spectral_norm={}),
    network("generator", build_generator, **SAGAN),
    network("generator_with_latents_to_every_block", build_generator, latents_to_every_block=True),
    network("discriminator", build_discriminator, **SAGAN),
    network("discriminator_with_mean_pooling", build_discriminator, discriminator_pooling="mean"),
    network("discriminator_with_minibatch_statistics", build_discriminator, discriminator_minibatch_statistics=2),
    network(
        "discriminator_with_auxiliary_classifier",
        build_discriminator,
        conditioning="auxiliary_classifier",
        image_channels=1,
    ),
]
