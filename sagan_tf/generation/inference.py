"""Networks in inference mode: compiled for many images, with everything precomputed that depends on weights alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from sagan_tf.keras_backend import keras
from sagan_tf.layers import BatchNormalization, SpectralNormalization


def compiled_generator(generator: keras.Model) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the generator at inference (moving statistics), for many images.

    What is made of the weights alone is computed now, not with each batch: sigma, the kernels divided by it, the sums
    of their taps that convolutions multiply with, and gains and biases that hold the moving statistics. Make a new one
    when the weights have changed.

    Args:
        generator: a network of `build_generator`.

    Returns:
        A compiled function of latents float32 [n, latent_dim] and labels int32 [n], for any n, giving images as
        `generator` does.
    """
    latents, labels = (tf.TensorSpec(one.shape, one.dtype) for one in generator.inputs)
    function = tf.function(lambda latents, labels: generator([latents, labels], training=False), autograph=False)
    with folded(generator):
        return function.get_concrete_function(latents, labels)


@contextlib.contextmanager
def folded(network: keras.Model) -> Iterator[None]:
    """A context in which calls and traces of a network use its weights as they are now: kernels divided by their sigma,
    moving statistics folded into gains and biases.
    """
    with contextlib.ExitStack() as stack:
        for layer in network._flatten_layers():
            if isinstance(layer, SpectralNormalization | BatchNormalization):
                stack.enter_context(layer.folded())
        yield


def generate_images(generator: keras.Model, latents: tf.Tensor, labels: tf.Tensor, batch_size: int = 16) -> np.ndarray:
    """Images of a generator at inference (moving statistics), worked through in batches.

    Args:
        generator: a network of `build_generator`.
        latents: float32 [n, latent_dim].
        labels: int32 [n].
        batch_size: images made at once.

    Returns:
        float32 [n, resolution, resolution, image_channels] in [-1, 1].
    """
    starts = range(0, len(latents), batch_size)
    batches = [[latents[start : start + batch_size], labels[start : start + batch_size]] for start in starts]
    return np.concatenate([generator(batch, training=False).numpy() for batch in batches])
