"""Generator and discriminator networks, built from stage tables."""

# ruff: noqa: E402 - Keras must be loaded with its backend before any module imports it
from sagan_tf.environment.keras_settings import load_keras

load_keras()

from sagan_tf.networks.discriminator import build_discriminator
from sagan_tf.networks.generator import build_generator

__all__ = ["build_discriminator", "build_generator"]
