"""Residual blocks compared with elementary operations in the order of the paper."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import BatchNormalization, ConditionalBatchNormalization, SpectralNormalization
from sagan_tf.networks.residual_blocks import DiscriminatorBlock, GeneratorBlock
from tests.networks.small_networks import stir

LABELS = np.array([1, 0], np.int32)


def features(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, 4, 6, channels)).astype(np.float32)


def convolve(x: tf.Tensor, layer: keras.layers.Layer) -> tf.Tensor:
    """Convolve with padding SAME and the applied kernel, which a wrapper divides by sigma."""
    divisor = 1.0
    if isinstance(layer, SpectralNormalization):
        layer, divisor = layer.layer, layer.sigma()
    return tf.nn.conv2d(x, layer.kernel.value / divisor, 1, "SAME") + layer.bias.value


def normalize(x: tf.Tensor, layer: BatchNormalization) -> tf.Tensor:
    """Apply batch normalization at inference and ReLU."""
    gamma, beta = layer.gain.value, layer.bias.value
    if isinstance(layer, ConditionalBatchNormalization):
        gamma, beta = (tf.gather(table, LABELS)[:, None, None] for table in (gamma, beta))
    standardized = (x - layer.moving_mean.value) / tf.sqrt(layer.moving_variance.value + layer.epsilon)
    return tf.nn.relu(gamma * standardized + beta)


def upsample(x: tf.Tensor) -> tf.Tensor:
    return tf.image.resize(x, [2 * x.shape[1], 2 * x.shape[2]], "nearest")


def average_pool(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.avg_pool2d(x, 2, 2, "VALID")


@pytest.mark.parametrize("num_classes", [0, 2])
@pytest.mark.parametrize("spectral_norm", [None, {}])
def test_generator_block(num_classes: int, spectral_norm: dict[str, Any] | None) -> None:
    """Upsampling before the 1x1 convolution of the shortcut equals the order of the block, which convolves first."""
    x = features()
    block = GeneratorBlock(5, num_classes=num_classes, batch_norm={"epsilon": 1e-2}, spectral_norm=spectral_norm)
    block.build((x.shape, LABELS.shape))
    stir(block)
    y = convolve(upsample(normalize(x, block.normalization_1)), block.convolution_1)
    y = convolve(normalize(y, block.normalization_2), block.convolution_2)
    expected = y + convolve(upsample(tf.constant(x)), block.shortcut)
    outputs = block((x, LABELS))
    np.testing.assert_allclose(outputs.numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)
    assert outputs.shape == block.compute_output_shape((x.shape, LABELS.shape)) == (2, 8, 12, 5)


def test_generator_block_updates_every_statistic_in_training() -> None:
    x = features()
    block = GeneratorBlock(5, num_classes=2, spectral_norm={})
    block.build((x.shape, LABELS.shape))
    before = {variable.path: variable.numpy() for variable in block.variables}
    block((x, LABELS), training=True)
    changed = {variable.path for variable in block.variables if not np.array_equal(variable, before[variable.path])}
    assert changed == {variable.path for variable in block.non_trainable_variables}
    assert len(changed) == 2 * 2 + 3


@pytest.mark.parametrize("downsampling", [False, True])
@pytest.mark.parametrize("preactivation", [False, True])
@pytest.mark.parametrize(("filters", "hidden_filters"), [(3, 0), (5, 0), (5, 2)])
@pytest.mark.parametrize("spectral_norm", [None, {}])
def test_discriminator_block(
    downsampling: bool, preactivation: bool, filters: int, hidden_filters: int, spectral_norm: dict[str, Any] | None
) -> None:
    """The 1x1 convolution of the shortcut before pooling equals the order of the block, which pools first."""
    x = tf.constant(features())
    block = DiscriminatorBlock(
        filters,
        downsample=downsampling,
        preactivation=preactivation,
        hidden_filters=hidden_filters,
        spectral_norm=spectral_norm,
    )
    block.build(x.shape)
    stir(block)
    y = convolve(tf.nn.relu(x) if preactivation else x, block.convolution_1)
    assert y.shape[-1] == (hidden_filters or filters)
    y = convolve(tf.nn.relu(y), block.convolution_2)
    shortcut = x
    if downsampling or filters != 3:
        shortcut = convolve(x, block.shortcut)
    else:
        assert block.shortcut is None
    expected = average_pool(y) + average_pool(shortcut) if downsampling else y + shortcut
    outputs = block(x)
    np.testing.assert_allclose(outputs.numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)
    assert tuple(outputs.shape) == tuple(block.compute_output_shape(x.shape))
