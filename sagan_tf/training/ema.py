"""The exponential moving average of the generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from sagan_tf.config import TrainingConfig
from sagan_tf.keras_backend import keras


def copy_variables(sources: Sequence[keras.Variable], targets: Sequence[keras.Variable]) -> None:
    """Make `targets` equal to `sources`, eagerly."""
    for source, target in zip(sources, targets, strict=True):
        target.assign(source.value)


def ema_decay(config: TrainingConfig) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function from the number of generator updates done, the last one included, to the decay of the average.

    With a half-life of H images and B images an update the decay is 0.5^(B / H), and with ramp-up H is at most that
    part of the images generated before the last update (StyleGAN2, Karras et al. 2020, as in its code).
    """

    def constant(step: tf.Tensor) -> tf.Tensor:
        return tf.where(step < config.ema_start_step, 0.0, config.ema_decay)

    def of_half_life(step: tf.Tensor) -> tf.Tensor:
        half_life = tf.constant(config.ema_half_life_images, tf.float32)
        if config.ema_ramp_up:
            images = tf.cast((step - 1) * config.global_batch_size, tf.float32)
            half_life = tf.minimum(half_life, config.ema_ramp_up * images)
        return tf.pow(0.5, config.global_batch_size / tf.maximum(half_life, 1e-8))

    return of_half_life if config.ema_half_life_images else constant


def move_average(averages: Sequence[keras.Variable], variables: Sequence[keras.Variable], decay: tf.Tensor) -> None:
    """Average <- decay * average + (1 - decay) * variable, for every variable of a network.

    Batch norm's moving statistics and spectral norm's `u` are averaged with the weights that they belong to: averaged
    weights beside the live network's statistics give bad images.

    Call it in replica context: each replica moves its own copy, so nothing is sent between devices, and on a TPU it is
    part of the replicas' compiled program.

    Args:
        averages: the averaged network's variables.
        variables: the network's variables, in the same order.
        decay: float32 scalar in [0, 1]; 0 copies.
    """
    for average, variable in zip(averages, variables, strict=True):
        value = tf.convert_to_tensor(variable)
        # Written so that decay 0 gives the variable bit for bit.
        average.assign(value + decay * (tf.convert_to_tensor(average) - value))
