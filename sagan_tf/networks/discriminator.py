"""The discriminator, which maps images and labels to logits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras

from sagan_tf.config import ModelConfig
from sagan_tf.config.option import check_registered
from sagan_tf.environment.keras_settings import keras_defaults
from sagan_tf.layers.minibatch_statistics import MinibatchStatistics
from sagan_tf.layers.spectral_normalization import apply_spectral_normalization
from sagan_tf.networks.architectures import ARCHITECTURES, Stages, count_used_classes, find_stages
from sagan_tf.networks.attention_blocks import apply_attention_block
from sagan_tf.networks.blocks import get_spectral_norm_options
from sagan_tf.networks.convolutional_blocks import ConvolutionalDiscriminatorBlock
from sagan_tf.networks.residual_blocks import DiscriminatorBlock


def _sum_scaled(x: Any, axis: tuple[int, ...]) -> Any:
    locations = math.prod(x.shape[index] for index in axis)
    return keras.ops.sum(x, axis=axis) / math.sqrt(locations)


POOLINGS: dict[str, Callable[..., Any]] = {
    "sum": keras.ops.sum,
    "mean": keras.ops.mean,
    "scaled_sum": _sum_scaled,
}
"""Pooling functions by value of `--discriminator_pooling`."""


def _create_residual_block(config: ModelConfig, stages: Stages, index: int, **options: Any) -> keras.layers.Layer:
    widens_second = ARCHITECTURES[config.architecture].widens_in_second_convolution and index > 1
    return DiscriminatorBlock(
        downsample=stages.downsample[index - 1],
        preactivation=index > 1,
        hidden_filters=_count_channels(config, stages, index - 1) if widens_second else 0,
        **options,
    )


def _create_convolutional_block(config: ModelConfig, stages: Stages, index: int, **options: Any) -> keras.layers.Layer:
    return ConvolutionalDiscriminatorBlock(**options)


_BLOCKS = {"residual": _create_residual_block, "convolutional": _create_convolutional_block}
"""Functions that create block `index` (1, 2, ...), by `Architecture.blocks`."""

_LAST_ACTIVATIONS = {"residual": "relu", "convolutional": "linear"}
"""Activation after the last block, by `Architecture.blocks`. Convolutional blocks end with their own."""


def build_discriminator(config: ModelConfig, dtype_policy: str = "float32") -> keras.Model:
    """Build the discriminator of a model.

    Call it as `discriminator([images, labels], training=...)`. Images are float32 [batch, resolution, resolution,
    image_channels] in [-1, 1] and labels int32 or int64 [batch]. It returns logits float32 [batch, 1]; above 0 means
    real. They depend on the conditioning:

    - `projection`: logits = psi(phi(x)) + <embed(y), phi(x)> (Miyato & Koyama, ICLR 2018).
    - `auxiliary_classifier`: a pair, logits and class logits float32 [batch, num_classes] (Odena et al., ICML 2017).
    - `none`: the labels are ignored.

    The discriminator has no normalization except spectral normalization, so the logits of an image do not depend on the
    other images of the batch. The exception is `discriminator_minibatch_statistics`: with it, the last block also
    receives how much the images of each group of that many consecutive images differ. (If the shortcut of that block
    would be the identity, it then has a convolution.)

    Args:
        config: The model.
        dtype_policy: Dtype policy of the layers: `float32`, `mixed_bfloat16` or `mixed_float16`. Variables are float32,
            and global Keras settings have no effect.

    Raises:
        UserError: If the architecture does not have the image size or a feature map of the model.
        ValueError: If `num_classes` is 0 and the conditioning needs classes.
    """
    check_registered("discriminator_pooling", config.discriminator_pooling, POOLINGS)
    stages = find_stages(config)
    count_used_classes(config)  # raises an error if classes are needed and there are none
    spectral_norm = get_spectral_norm_options(config) if config.discriminator_spectral_norm else None
    with keras_defaults(dtype_policy):
        images = keras.Input((config.resolution, config.resolution, config.image_channels), name="images")
        # int64, because a GPU needs the host to compute the gradient of a lookup by int32 labels.
        labels = keras.Input((), dtype="int64", name="labels")
        x = images
        resolutions = stages.compute_discriminator_resolutions(config.resolution)
        attended: set[int] = set()
        for index, resolution in enumerate(resolutions, start=1):
            if config.discriminator_minibatch_statistics and index == len(resolutions):
                group_size = config.discriminator_minibatch_statistics
                x = MinibatchStatistics(group_size, name="minibatch_statistics")(x)
            x = _create_block(config, stages, index, spectral_norm)(x)
            # Several blocks may have the same size; attention follows the first of them.
            if resolution in config.discriminator_attention and resolution not in attended:
                x = apply_attention_block(config, x, spectral_norm, f"attention_{resolution}")
                attended.add(resolution)
        return keras.Model([images, labels], _create_outputs(x, labels, config, spectral_norm), name="discriminator")


def add_feature_output(discriminator: keras.Model) -> keras.Model:
    """Build a network of the same layers that also returns the last features.

    Args:
        discriminator: A network of `build_discriminator`.

    Returns:
        A network of [images, labels] with the outputs of the discriminator, followed by the inputs of its last layers,
        features float32 [batch, channels].
    """
    features = discriminator.get_layer("logits").input
    return keras.Model(discriminator.inputs, [*discriminator.outputs, features], name="discriminator_with_features")


def compute_class_scores(discriminator: keras.Model, features: Any) -> Any:
    """Compute the contribution of each label to the logits.

    For class k it is <embed(k), phi(x)>.

    Args:
        discriminator: A network of `build_discriminator` with `conditioning="projection"`. Its label embedding is
            called in training mode.
        features: Features from `add_feature_output`, float32 [batch, channels].

    Returns:
        float32 [batch, num_classes].
    """
    embedding = discriminator.get_layer("label_embedding")
    num_classes = getattr(embedding, "layer", embedding).input_dim  # spectral normalization may wrap the embedding
    labels = keras.ops.arange(num_classes, dtype="int64")
    return keras.ops.matmul(features, keras.ops.transpose(embedding(labels, training=True)))


def _create_block(config: ModelConfig, stages: Stages, index: int, spectral_norm: Any) -> keras.layers.Layer:
    create = _BLOCKS[ARCHITECTURES[config.architecture].blocks]
    return create(
        config,
        stages,
        index,
        filters=_count_channels(config, stages, index),
        spectral_norm=spectral_norm,
        kernel_initializer=config.kernel_initializer,
        convolution_form=config.resampling,
        name=f"block_{index}",
    )


def _count_channels(config: ModelConfig, stages: Stages, index: int) -> int:
    return stages.discriminator[index - 1] * config.discriminator_channels


def _create_outputs(x: Any, labels: Any, config: ModelConfig, spectral_norm: Any) -> Any:
    """Create the output layers, in float32 in every precision.

    They add up many features.
    """
    activation = _LAST_ACTIVATIONS[ARCHITECTURES[config.architecture].blocks]
    x = keras.layers.Activation(activation, dtype="float32", name="activation")(x)
    features = POOLINGS[config.discriminator_pooling](x, axis=(1, 2))

    def create_normalized(layer: type[keras.layers.Layer], *args: Any, **options: Any) -> keras.layers.Layer:
        return apply_spectral_normalization(layer(*args, dtype="float32", **options), spectral_norm)

    dense = {"kernel_initializer": config.kernel_initializer}
    logits = create_normalized(keras.layers.Dense, 1, name="logits", **dense)(features)
    if config.conditioning == "projection":
        embedding = create_normalized(
            keras.layers.Embedding,
            config.num_classes,
            features.shape[-1],
            embeddings_initializer=config.kernel_initializer,
            name="label_embedding",
        )(labels)
        return logits + keras.ops.sum(features * embedding, axis=1, keepdims=True)
    if config.conditioning == "auxiliary_classifier":
        class_logits = create_normalized(keras.layers.Dense, config.num_classes, name="class_logits", **dense)(features)
        return [logits, class_logits]
    return logits
