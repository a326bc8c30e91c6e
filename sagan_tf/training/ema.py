"""The exponential moving average of the generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from sagan_tf.config import TrainingConfig
from sagan_tf.keras_backend import keras


def copy_variables(sources: Sequence[keras.Variable], targets: Sequence[keras.Variable]) -> None:
    """Copy the values of `sources` to `targets`, eagerly."""
    for source, target in zip(sources, targets, strict=True):
        target.assign(source.value)


def create_ema_decay(config: TrainingConfig) -> Callable[[tf.Tensor], tf.Tensor]:
    """Create a function from the number of generator updates to the decay.

    The number includes the present update. With a half-life of H images and B images per update, the decay is
    0.5^(B / H). With `ema_ramp_up`, H is at most that fraction of the images generated before the present update
    (as in the code of StyleGAN2-ADA, Karras et al., NeurIPS 2020).

    Args:
        config: Options `ema_start_step` and `ema_decay`, or `ema_half_life_images` and `ema_ramp_up`.
    """

    def compute_constant_decay(step: tf.Tensor) -> tf.Tensor:
        return tf.where(step < config.ema_start_step, 0.0, config.ema_decay)

    def compute_half_life_decay(step: tf.Tensor) -> tf.Tensor:
        half_life = tf.constant(config.ema_half_life_images, tf.float32)
        if config.ema_ramp_up:
            images = tf.cast((step - 1) * config.global_batch_size, tf.float32)
            half_life = tf.minimum(half_life, config.ema_ramp_up * images)
        return tf.pow(0.5, config.global_batch_size / tf.maximum(half_life, 1e-8))

    return compute_half_life_decay if config.ema_half_life_images else compute_constant_decay


def move_average(averages: Sequence[keras.Variable], variables: Sequence[keras.Variable], decay: tf.Tensor) -> None:
    """Update the moving average of every variable of a network.

    The update is average <- decay * average + (1 - decay) * variable. The moving statistics of batch normalization and
    the `u` of spectral normalization are averaged too: averaged weights with the statistics of the trained network give
    bad images.

    Call it in replica context: each replica updates its own copy, so nothing is sent between devices, and on a TPU the
    update is part of the replicas' compiled program.

    Args:
        averages: The variables of the averaged network.
        variables: The variables of the trained network, in the same order.
        decay: float32 scalar in [0, 1]; 0 copies.
    """
    for average, variable in zip(averages, variables, strict=True):
        value = tf.convert_to_tensor(variable)
        # Written so that decay 0 gives the variable bit for bit.
        average.assign(value + decay * (tf.convert_to_tensor(average) - value))
