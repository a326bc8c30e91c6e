"""Table of the public layers, blocks and networks, with a function that creates each and its inputs.

`test_coverage.py` fails if a public class or function has no row. `test_conformance.py` tests every row.
"""

from __future__ import annotations

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
SMALL = ModelConfig(
    resolution=32, num_classes=2, base_channels=2, latent_dim=4, attention_resolutions=(8,), attention_form="pooled"
)
# This network is traced faster than residual blocks, for tests of features that every architecture has.
SMALL_DCGAN = dataclasses.replace(SMALL, architecture="dcgan", attention_resolutions=())


def normalized(
    layer: Callable[..., keras.layers.Layer], *args: Any, **options: Any
) -> Callable[[], keras.layers.Layer]:
    return lambda: SpectralNormalization(layer(*args), **options)


def in_global_policy(build: Callable[..., keras.Model], config: ModelConfig) -> Callable[[], keras.Model]:
    """Return a function that builds a network with the global dtype policy, which layers follow by default."""
    return lambda: build(config, dtype_policy=keras.config.dtype_policy().name)


CASES = [
    Case("normalized_conv", SpectralNormalization, normalized(keras.layers.Conv2D, 3, 3), (FEATURES,)),
    Case("normalized_transposed", SpectralNormalization, normalized(keras.layers.Conv2DTranspose, 3, 4), (FEATURES,)),
    Case(
        "normalized_dense", SpectralNormalization, normalized(keras.layers.Dense, 3, power_iterations=2), (normal(5),)
    ),
    Case("normalized_embedding", SpectralNormalization, normalized(keras.layers.Embedding, 2, 3), (LABELS,)),
    # In this layer the inputs are divided by sigma, because the kernel is larger.
    Case("normalized_wide_dense", SpectralNormalization, normalized(keras.layers.Dense, 24), (normal(5),)),
    Case(
        "upsampling_convolution",
        ResamplingConvolution,
        lambda: ResamplingConvolution(3, 3, "up", "strided"),
        (FEATURES,),
    ),
    Case(
        "downsampling_convolution",
        ResamplingConvolution,
        lambda: ResamplingConvolution(3, 3, "down", "minimal_4"),
        (FEATURES,),
    ),
    Case(
        "normalized_minimal_convolution",
        SpectralNormalization,
        normalized(ResamplingConvolution, 3, 3, "none", "minimal_4"),
        (FEATURES,),
    ),
    Case("attention_pooled", SelfAttention2D, lambda: SelfAttention2D("pooled", {}), (FEATURES,)),
    Case("attention_paper", SelfAttention2D, lambda: SelfAttention2D("paper"), (FEATURES,)),
    Case("attention_full", SelfAttention2D, lambda: SelfAttention2D("full", {"epsilon": 1e-6}), (FEATURES,)),
    Case("batch_norm", BatchNormalization, BatchNormalization, (FEATURES,)),
    Case("batch_norm_synchronized", BatchNormalization, lambda: BatchNormalization(synchronized=True), (FEATURES,)),
    Case(
        "conditional_batch_norm", ConditionalBatchNormalization, lambda: ConditionalBatchNormalization(2), CONDITIONED
    ),
    Case(
        "latent_batch_norm",
        LatentBatchNormalization,
        lambda: LatentBatchNormalization(2, spectral_norm={}),
        (*CONDITIONED, normal(3)),
    ),
    Case("minibatch_statistics", MinibatchStatistics, lambda: MinibatchStatistics(2), (FEATURES,)),
    Case("generator_block", GeneratorBlock, lambda: GeneratorBlock(4, 2, spectral_norm={}), CONDITIONED),
    Case(
        "discriminator_block",
        DiscriminatorBlock,
        lambda: DiscriminatorBlock(8, downsample=False, preactivation=False, spectral_norm={}),
        (FEATURES,),
    ),
    Case(
        "convolutional_generator_block",
        ConvolutionalGeneratorBlock,
        lambda: ConvolutionalGeneratorBlock(4, 2, spectral_norm={}),
        CONDITIONED,
    ),
    Case(
        "convolutional_discriminator_block",
        ConvolutionalDiscriminatorBlock,
        lambda: ConvolutionalDiscriminatorBlock(4, spectral_norm={}),
        (FEATURES,),
    ),
    Case(
        "parameter_matched_block",
        ParameterMatchedBlock,
        lambda: ParameterMatchedBlock(8, spectral_norm={}),
        (FEATURES,),
    ),
    Case("generator", build_generator, in_global_policy(build_generator, SMALL), (normal(4), LABELS)),
    Case(
        "generator_with_latents_to_every_block",
        build_generator,
        in_global_policy(build_generator, dataclasses.replace(SMALL_DCGAN, latents_to_every_block=True)),
        (normal(4), LABELS),
    ),
    Case(
        "discriminator",
        build_discriminator,
        in_global_policy(build_discriminator, SMALL),
        (normal(32, 32, 3), LABELS),
    ),
    Case(
        "discriminator_with_mean_pooling",
        build_discriminator,
        in_global_policy(build_discriminator, dataclasses.replace(SMALL_DCGAN, discriminator_pooling="mean")),
        (normal(32, 32, 3), LABELS),
    ),
    Case(
        "discriminator_with_minibatch_statistics",
        build_discriminator,
        in_global_policy(build_discriminator, dataclasses.replace(SMALL_DCGAN, discriminator_minibatch_statistics=2)),
        (normal(32, 32, 3), LABELS),
    ),
    Case(
        "discriminator_with_auxiliary_classifier",
        build_discriminator,
        in_global_policy(
            build_discriminator,
            dataclasses.replace(SMALL_DCGAN, conditioning="auxiliary_classifier", image_channels=1),
        ),
        (normal(32, 32, 1), LABELS),
    ),
]
