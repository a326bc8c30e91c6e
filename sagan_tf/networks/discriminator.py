"""The discriminator: images and labels to logits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras

from sagan_tf.config import ModelConfig
from sagan_tf.environment.keras_settings import keras_defaults
from sagan_tf.layers.minibatch_statistics import MinibatchStatistics
from sagan_tf.layers.spectral_normalization import spectrally_normalized
from sagan_tf.networks.architectures import ARCHITECTURES, Stages, find_stages, used_classes
from sagan_tf.networks.attention_blocks import attention_block
from sagan_tf.networks.blocks import spectral_norm_options
from sagan_tf.networks.convolutional_blocks import ConvolutionalDiscriminatorBlock
from sagan_tf.networks.residual_blocks import DiscriminatorBlock


def _scaled_sum(x: Any, axis: tuple[int, ...]) -> Any:
    locations = math.prod(x.shape[place] for place in axis)
    return keras.ops.sum(x, axis=axis) / math.sqrt(locations)


_POOLINGS: dict[str, Callable[..., Any]] = {
    "sum": keras.ops.sum,
    "mean": keras.ops.mean,
    "scaled_sum": _scaled_sum,
}
"""Values of `--discriminator_pooling`."""


def build_discriminator(config: ModelConfig, dtype_policy: str = "float32") -> keras.Model:
    """Build the discriminator that `config` describes.

    Its call: `discriminator([images, labels], training=...)` with images float32 [batch, resolution, resolution,
    image_channels] in [-1, 1] and labels int32 or int64 [batch], giving logits float32 [batch, 1]; above 0 means real.
    By conditioning:

    - `projection`: logits = psi(phi(x)) + <embed(y), phi(x)> (Miyato & Koyama, ICLR 2018).
    - `auxiliary_classifier`: a pair, logits and class logits float32 [batch, num_classes] (Odena et al., ICML 2017).
    - `none`: labels are taken and ignored.

    It has no normalization but the spectral one, so every image is judged by itself: unless
    `discriminator_minibatch_statistics` is on, with which the last block also sees how much the images of each group of
    so many consecutive ones differ. (If that block had the identity as a shortcut, it then has a convolution.)

    Args:
        config: of the model.
        dtype_policy: what its layers compute in: `float32`, `mixed_bfloat16` or `mixed_float16`. Variables are float32,
            and global Keras settings have no effect.

    Raises:
        UserError: if the architecture has no such image size or feature map.
        ValueError: if `num_classes` is 0 and the conditioning needs it.
    """
    stages = find_stages(config)
    used_classes(config)  # refuses a configuration without them
    spectral_norm = spectral_norm_options(config) if config.discriminator_spectral_norm else None
    with keras_defaults(dtype_policy):
        images = keras.Input((config.resolution, config.resolution, config.image_channels), name="images")
        # int64: a GPU computes the gradient of a lookup by int32 labels with the help of the host.
        labels = keras.Input((), dtype="int64", name="labels")
        x = images
        resolutions = stages.discriminator_resolutions(config.resolution)
        attended: set[int] = set()
        for index, resolution in enumerate(resolutions, start=1):
            if config.discriminator_minibatch_statistics and index == len(resolutions):
                group_size = config.discriminator_minibatch_statistics
                x = MinibatchStatistics(group_size, name="minibatch_statistics")(x)
            x = _block(config, stages, index, spectral_norm)(x)
            # Several blocks may work at one size: attention follows the first.
            if resolution in config.discriminator_attention and resolution not in attended:
                x = attention_block(config, x, spectral_norm, f"attention_{resolution}")
                attended.add(resolution)
        return keras.Model([images, labels], _outputs(x, labels, config, spectral_norm), name="discriminator")


def discriminator_with_features(discriminator: keras.Model) -> keras.Model:
    """Build a network with the same layers that also returns the features before the last layers.

    Args:
        discriminator: A network of `build_discriminator`.

    Returns:
        A network of [images, labels]; its outputs are the discriminator's, then features float32 [batch, channels].
    """
    features = discriminator.get_layer("logits").input
    return keras.Model(discriminator.inputs, [*discriminator.outputs, features], name="discriminator_with_features")


def class_scores(discriminator: keras.Model, features: Any) -> Any:
    """Compute what each label would add to the logits: <embed(k), phi(x)> for every class k.

    Args:
        discriminator: A network of `build_discriminator` with `conditioning="projection"`. Its label
            embedding is called in training mode.
        features: Features from `discriminator_with_features`, float32 [batch, channels].

    Returns:
        float32 [batch, num_classes].
    """
    embedding = discriminator.get_layer("label_embedding")
    num_classes = getattr(embedding, "layer", embedding).input_dim  # it may be wrapped
    labels = keras.ops.arange(num_classes, dtype="int64")
    return keras.ops.matmul(features, keras.ops.transpose(embedding(labels, training=True)))


def _block(config: ModelConfig, stages: Stages, index: int, spectral_norm: Any) -> keras.layers.Layer:
    options: dict[str, Any] = {
        "filters": stages.discriminator[index - 1] * config.discriminator_channels,
        "spectral_norm": spectral_norm,
        "kernel_initializer": config.kernel_initializer,
        "convolution_form": config.resampling,
        "name": f"block_{index}",
    }
    if ARCHITECTURES[config.architecture].blocks == "convolutional":
        return ConvolutionalDiscriminatorBlock(**options)
    return DiscriminatorBlock(downsample=stages.downsample[index - 1], preactivation=index > 1, **options)


def _outputs(x: Any, labels: Any, config: ModelConfig, spectral_norm: Any) -> Any:
    """Return the head, in float32 in every precision: sums over many features."""
    x = keras.layers.Activation("relu", dtype="float32", name="activation")(x)
    features = _POOLINGS[config.discriminator_pooling](x, axis=(1, 2))

    def normalized(layer: type[keras.layers.Layer], *args: Any, **options: Any) -> keras.layers.Layer:
        return spectrally_normalized(layer(*args, dtype="float32", **options), spectral_norm)

    dense = {"kernel_initializer": config.kernel_initializer}
    logits = normalized(keras.layers.Dense, 1, name="logits", **dense)(features)
    if config.conditioning == "projection":
        embedding = normalized(
            keras.layers.Embedding,
            config.num_classes,
            features.shape[-1],
            embeddings_initializer=config.kernel_initializer,
            name="label_embedding",
        )(labels)
        return logits + keras.ops.sum(features * embedding, axis=1, keepdims=True)
    if config.conditioning == "auxiliary_classifier":
        class_logits = normalized(keras.layers.Dense, config.num_classes, name="class_logits", **dense)(features)
        return [logits, class_logits]
    return logits
