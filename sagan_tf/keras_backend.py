"""Keras with the TensorFlow backend, whatever backend the environment and `keras.json` choose.

Modules outside `layers` and `networks` import Keras from here. These two packages load Keras for all of their modules;
other packages also have modules that work without TensorFlow, such as the client.
"""

# ruff: noqa: E402 - Keras is loaded with its backend before it is imported
from sagan_tf.environment.keras_settings import load_keras

load_keras()

import keras

__all__ = ["keras"]
