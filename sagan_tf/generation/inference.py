"""Networks in inference mode, with everything that depends only on the weights computed in advance."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from sagan_tf.keras_backend import iterate_layers, keras
from sagan_tf.layers import BatchNormalization, SpectralNormalization


def compile_generator(generator: keras.Model) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Compile a generator in inference mode (moving statistics) for many images.

    Values that depend only on the weights are computed now and not for each batch: sigma, the kernels divided by sigma,
    the sums of kernel taps that the convolutions use, and the gains and biases that include the moving statistics.
    Compile the generator again after its weights change.

    Args:
        generator: A network made by `build_generator`.

    Returns:
        A compiled function that takes latents float32 [n, latent_dim] and labels int32 [n], for any n, and returns the
        same images as `generator`.
    """
    latents, labels = (tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in generator.inputs)
    function = tf.function(lambda latents, labels: generator([latents, labels], training=False), autograph=False)
    with freeze_for_inference(generator):
        return function.get_concrete_function(latents, labels)


@contextlib.contextmanager
def freeze_for_inference(network: keras.Model) -> Iterator[None]:
    """Use precomputed inference weights in calls and traces of a network.

    Inside the context, kernels are divided by their present sigma, and the moving statistics are folded into gains and
    biases.
    """
    with contextlib.ExitStack() as stack:
        for layer in iterate_layers(network):
            if isinstance(layer, SpectralNormalization | BatchNormalization):
                stack.enter_context(layer.freeze_for_inference())
        yield


@contextlib.contextmanager
def constant_weights(network: keras.Model) -> Iterator[None]:
    """Make the current weights of a network constant within the context.

    They are folded where possible.
    """
    values = [(variable, tf.convert_to_tensor(variable)) for variable in network.variables]
    with freeze_for_inference(network), keras.StatelessScope(values):
        yield


def generate_images(generator: keras.Model, latents: tf.Tensor, labels: tf.Tensor, batch_size: int = 16) -> np.ndarray:
    """Generate images in inference mode (moving statistics), in batches.

    Args:
        generator: A network made by `build_generator`.
        latents: Latents, float32 [n, latent_dim].
        labels: Labels, int32 [n].
        batch_size: Number of images in a batch.

    Returns:
        Images, float32 [n, resolution, resolution, image_channels] in [-1, 1].
    """
    starts = range(0, len(latents), batch_size)
    batches = [[latents[start : start + batch_size], labels[start : start + batch_size]] for start in starts]
    return np.concatenate([generator(batch, training=False).numpy() for batch in batches])
