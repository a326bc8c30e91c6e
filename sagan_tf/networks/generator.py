"""The generator, which maps latents and labels to images."""

from __future__ import annotations

from typing import Any

import keras

from sagan_tf.config import ModelConfig
from sagan_tf.environment.keras_settings import keras_defaults
from sagan_tf.layers.batch_normalization import BatchNormalization
from sagan_tf.layers.spectral_normalization import apply_spectral_normalization
from sagan_tf.networks.architectures import ARCHITECTURES, INITIAL_RESOLUTION, count_used_classes, find_stages
from sagan_tf.networks.attention_blocks import apply_attention_block
from sagan_tf.networks.blocks import get_spectral_norm_options
from sagan_tf.networks.convolutional_blocks import ConvolutionalGeneratorBlock
from sagan_tf.networks.residual_blocks import GeneratorBlock

_BLOCKS = {"residual": GeneratorBlock, "convolutional": ConvolutionalGeneratorBlock}


def build_generator(
    config: ModelConfig, convolution_form: str | None = None, dtype_policy: str = "float32"
) -> keras.Model:
    """Build the generator of a model.

    Call it as `generator([latents, labels], training=...)` with latents float32 [batch, latent_dim] and labels int32
    [batch] in [0, num_classes). It returns images float32 [batch, resolution, resolution, image_channels] in [-1, 1].
    With `conditioning="none"` the labels are ignored.

    Layers are named by position: `dense`, `block_1` ..., `attention_<resolution>`, `image`.

    Args:
        config: The model.
        convolution_form: Form of `layers.ResamplingConvolution`; None uses `config.resampling`.
        dtype_policy: Dtype policy of the layers: `float32`, `mixed_bfloat16` or `mixed_float16`. Variables are float32,
            and global Keras settings have no effect.

    Raises:
        UserError: If the architecture does not have the image size or a feature map of the model.
        ValueError: If `num_classes` is 0 and the conditioning needs classes.
    """
    stages = find_stages(config)
    num_classes = count_used_classes(config)
    spectral_norm = get_spectral_norm_options(config) if config.generator_spectral_norm else None
    batch_norm = _get_batch_norm_options(config)
    block = _BLOCKS[ARCHITECTURES[config.architecture].blocks]

    with keras_defaults(dtype_policy):
        latents = keras.Input((config.latent_dim,), name="latents")
        labels = keras.Input((), dtype="int32", name="labels")
        first, *parts = _split_latents(latents, config, len(stages.generator))
        channels = stages.initial * config.base_channels
        x = _create_first_feature_map(first, channels, config.kernel_initializer, spectral_norm)
        resolutions = stages.compute_generator_resolutions()
        for index, (width, resolution) in enumerate(zip(stages.generator, resolutions, strict=True), start=1):
            x = block(
                width * config.base_channels,
                num_classes=num_classes,
                batch_norm=batch_norm,
                takes_latents=config.latents_to_every_block,
                spectral_norm=spectral_norm,
                kernel_initializer=config.kernel_initializer,
                convolution_form=convolution_form or config.resampling,
                name=f"block_{index}",
            )([x, labels, *parts[index - 1 : index]])
            if resolution in config.generator_attention:
                x = apply_attention_block(config, x, spectral_norm, f"attention_{resolution}")
        images = _create_images(x, config, spectral_norm, batch_norm)
        return keras.Model([latents, labels], images, name="generator")


def _split_latents(latents: Any, config: ModelConfig, blocks: int) -> list[Any]:
    """Split the latents for the first layer and each block.

    Without `latents_to_every_block`, the first layer gets all latents.
    """
    return keras.ops.split(latents, 1 + blocks, axis=1) if config.latents_to_every_block else [latents]


def _create_first_feature_map(latents: Any, channels: int, kernel_initializer: str, spectral_norm: Any) -> Any:
    size = INITIAL_RESOLUTION
    dense = keras.layers.Dense(size * size * channels, kernel_initializer=kernel_initializer, name="dense")
    x = apply_spectral_normalization(dense, spectral_norm)(latents)
    return keras.layers.Reshape((size, size, channels), name="first_feature_map")(x)


def _create_images(x: Any, config: ModelConfig, spectral_norm: Any, batch_norm: dict[str, Any]) -> Any:
    x = BatchNormalization(**batch_norm, name="normalization")(x)
    x = keras.layers.Activation("relu", name="activation")(x)
    convolution = keras.layers.Conv2D(
        config.image_channels, 3, padding="same", kernel_initializer=config.kernel_initializer, name="image"
    )
    x = apply_spectral_normalization(convolution, spectral_norm)(x)
    return keras.layers.Activation("tanh", dtype="float32", name="tanh")(x)


def _get_batch_norm_options(config: ModelConfig) -> dict[str, Any]:
    return {
        "momentum": config.batch_norm_momentum,
        "epsilon": config.batch_norm_epsilon,
        "synchronized": config.synchronized_batch_norm,
    }
