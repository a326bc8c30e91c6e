"""Blocks of the convolutional networks compared with elementary operations."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import SpectralNormalization
from sagan_tf.networks.convolutional_blocks import ConvolutionalDiscriminatorBlock, ConvolutionalGeneratorBlock
from tests.networks.small_networks import stir
from tests.networks.test_residual_blocks import LABELS, features, normalize

either_norm = pytest.mark.parametrize("spectral_norm", [None, {}])


def get_kernel_and_bias(layer: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the kernel and the bias as they are applied."""
    if isinstance(layer, SpectralNormalization):
        return layer.layer.kernel.value / layer.sigma(), layer.layer.bias.value
    return layer.kernel.value, layer.bias.value


@either_norm
@pytest.mark.parametrize("num_classes", [0, 2])
def test_generator_block(spectral_norm: dict[str, Any] | None, num_classes: int) -> None:
    """After normalization and ReLU, every value is spread over 4x4 locations, at a distance of 2."""
    x = features()
    block = ConvolutionalGeneratorBlock(5, num_classes=num_classes, spectral_norm=spectral_norm)
    block.build((x.shape, LABELS.shape))
    stir(block)
    activations = normalize(x, block.normalization_1).numpy()
    kernel, bias = (tensor.numpy() for tensor in get_kernel_and_bias(block.convolution_1))
    padded = np.zeros((2, 8 + 2, 12 + 2, 5))
    for row, column in np.ndindex(4, 6):
        spread = np.einsum("hwoi,bi->bhwo", kernel, activations[:, row, column])
        padded[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += spread
    expected = padded[:, 1:-1, 1:-1] + bias
    outputs = block((x, LABELS))
    np.testing.assert_allclose(outputs.numpy(), expected, rtol=1e-4, atol=1e-4)
    assert outputs.shape == block.compute_output_shape((x.shape, LABELS.shape)) == (2, 8, 12, 5)


@either_norm
def test_discriminator_block(spectral_norm: dict[str, Any] | None) -> None:
    x = features()
    block = ConvolutionalDiscriminatorBlock(5, spectral_norm=spectral_norm)
    block.build(x.shape)
    stir(block)
    kernel, bias = (tensor.numpy() for tensor in get_kernel_and_bias(block.convolution_1))
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    convolved = np.zeros((2, 2, 3, 5))
    for row, column in np.ndindex(2, 3):
        window = padded[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4]
        convolved[:, row, column] = np.einsum("bhwi,hwio->bo", window, kernel) + bias
    outputs = block(x)
    np.testing.assert_allclose(outputs.numpy(), np.where(convolved > 0.0, convolved, 0.2 * convolved), atol=1e-4)
    assert outputs.shape == block.compute_output_shape(x.shape) == (2, 2, 3, 5)
