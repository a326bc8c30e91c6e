"""Keras with the TensorFlow backend, regardless of the environment and `keras.json`.

Modules outside `layers` and `networks` import Keras from here. These two packages load Keras for all of their modules.
Other packages also contain modules that work without TensorFlow, such as the client.
"""

# ruff: noqa: E402 - Keras must be loaded with its backend before it is imported
from sagan_tf.environment.keras_settings import load_keras

load_keras()

from collections.abc import Iterator

import keras

__all__ = ["iterate_layers", "keras"]


def iterate_layers(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield a network and all its layers, nested ones included; Keras has no public function for it."""
    yield from network._flatten_layers()
