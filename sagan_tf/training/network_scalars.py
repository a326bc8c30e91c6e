"""Scalars of the networks: gates of attention layers and spectral norms."""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from sagan_tf.keras_backend import iterate_layers, keras
from sagan_tf.layers.self_attention import SelfAttention2D
from sagan_tf.layers.spectral_normalization import SpectralNormalization
from sagan_tf.training.state import TrainState


def create_scalar_reader(state: TrainState) -> Callable[[], dict[str, float]]:
    """Create a function that reads the scalars of the two networks of a state.

    The names are `gamma/<network>/<layer>` and `sigma/<network>/<layer>`. A gamma that stays at 0 means that attention
    is not used. A sigma that grows without limit, or a raw kernel that shrinks to 0, precedes collapse.

    Args:
        state: The state with the generator and the discriminator.
    """
    readers: dict[str, Callable[[], tf.Tensor]] = {}
    for network in (state.generator, state.discriminator):
        for layer in iterate_layers(network):
            if isinstance(layer, SelfAttention2D):
                readers[f"gamma/{network.name}/{layer.path}"] = functools.partial(tf.convert_to_tensor, layer.gamma)
            elif isinstance(layer, SpectralNormalization):
                readers[f"sigma/{network.name}/{layer.path}"] = layer.sigma

    @tf.function
    def read_all() -> tf.Tensor:
        return tf.stack([tf.cast(read(), tf.float32) for read in readers.values()])

    return lambda: dict(zip(readers, read_all().numpy().tolist(), strict=True)) if readers else {}


def count_parameters(network: keras.Model) -> int:
    """Count the trainable parameters of a network."""
    return sum(variable.value.shape.num_elements() for variable in network.trainable_variables)
