"""What the networks show of themselves: the gate of every attention layer, the spectral norm of every layer."""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from sagan_tf.keras_backend import keras
from sagan_tf.layers.self_attention import SelfAttention2D
from sagan_tf.layers.spectral_normalization import SpectralNormalization
from sagan_tf.training.state import TrainState


def network_scalars(state: TrainState) -> Callable[[], dict[str, float]]:
    """Make a function that reads `gamma/<network>/<layer>` and `sigma/<network>/<layer>` of a state's two networks.

    A gamma that stays at 0 is attention that is not used; a sigma that grows without end, or a raw kernel that shrinks
    to 0, comes before collapse.
    """
    readers: dict[str, Callable[[], tf.Tensor]] = {}
    for network in (state.generator, state.discriminator):
        for layer in network._flatten_layers(include_self=False):  # Keras has no public way to reach nested layers
            if isinstance(layer, SelfAttention2D):
                readers[f"gamma/{network.name}/{layer.path}"] = functools.partial(tf.convert_to_tensor, layer.gamma)
            elif isinstance(layer, SpectralNormalization):
                readers[f"sigma/{network.name}/{layer.path}"] = layer.sigma

    @tf.function
    def read_all() -> tf.Tensor:
        return tf.stack([tf.cast(read(), tf.float32) for read in readers.values()])

    return lambda: dict(zip(readers, read_all().numpy().tolist(), strict=True)) if readers else {}


def parameter_count(network: keras.Model) -> int:
    """Trainable parameters of a network."""
    return sum(variable.value.shape.num_elements() for variable in network.trainable_variables)
