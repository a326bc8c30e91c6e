"""Moving statistics for an exported generator, whose gains and biases include those of its run."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from sagan_tf.generation.latents import LatentSampler
from sagan_tf.keras_backend import keras
from sagan_tf.layers import BatchNormalization

_NUM_BATCHES, _BATCH_SIZE = 16, 16
_SEED = 0


def estimate_moving_statistics(generator: keras.Model, layers: Sequence[BatchNormalization], num_classes: int) -> None:
    """Replace the moving statistics of layers by the mean and variance of their inputs.

    The inputs are those for 256 images with random latents and classes. Gamma and beta are changed with the statistics,
    so that images in inference mode stay the same, except for rounding. In training, batch normalization uses the
    statistics of the batch, so gamma and beta must belong to statistics like these.

    Args:
        generator: A network of `build_generator`, which is called eagerly.
        layers: Layers of the generator with a gamma and beta for all images or for each class.
        num_classes: The number of classes; 0 for a generator without classes.
    """
    sampler = LatentSampler(_SEED, generator.inputs[0].shape[1], num_classes, _BATCH_SIZE)
    moments: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in layers]
    for number in range(_NUM_BATCHES):
        with contextlib.ExitStack() as stack:
            recorded = [stack.enter_context(layer.record_inputs()) for layer in layers]
            generator(list(sampler.draw(tf.constant(number, tf.int64))), training=False)
        for (features,), values in zip(recorded, moments, strict=True):
            mean, variance = (value.numpy().astype(np.float64) for value in tf.nn.moments(features, [0, 1, 2]))
            values.append((mean, variance + mean**2))
    for layer, values in zip(layers, moments, strict=True):
        mean, mean_square = (np.mean(part, axis=0) for part in zip(*values, strict=True))
        change_statistics(layer, mean, np.maximum(mean_square - mean**2, 0.0))


def change_statistics(layer: BatchNormalization, mean: np.ndarray, variance: np.ndarray) -> None:
    """Change the moving statistics of a layer, and gamma and beta so that its outputs in inference mode stay the same.

    Args:
        layer: A layer whose gamma and beta are its weights, not functions of latents.
        mean: The new moving mean, [channels].
        variance: The new moving variance, [channels].
    """
    old_mean, old_variance, gamma, beta = (
        variable.numpy().astype(np.float64)
        for variable in (layer.moving_mean, layer.moving_variance, layer.gain, layer.bias)
    )
    scale = gamma / np.sqrt(old_variance + layer.epsilon)
    layer.moving_mean.assign(mean.astype(np.float32))
    layer.moving_variance.assign(variance.astype(np.float32))
    layer.gain.assign((scale * np.sqrt(variance + layer.epsilon)).astype(np.float32))
    layer.bias.assign((beta + (mean - old_mean) * scale).astype(np.float32))
