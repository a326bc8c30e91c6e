"""The exponential moving average of the generator."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


def copy_variables(sources: Sequence[keras.Variable], targets: Sequence[keras.Variable]) -> None:
    """Makes `targets` equal to `sources`, eagerly."""
    for source, target in zip(sources, targets, strict=True):
        target.assign(source.value)


def move_average(averages: Sequence[keras.Variable], variables: Sequence[keras.Variable], decay: tf.Tensor) -> None:
    """average <- decay * average + (1 - decay) * variable, for every variable of a network.

    Batch norm's moving statistics and spectral norm's `u` are averaged with the weights that they belong to: averaged
    weights beside the live network's statistics give bad images.

    Call it in cross-replica context. Each replica moves its own copy, so nothing is sent between devices.

    Args:
        averages: the averaged network's variables.
        variables: the network's variables, in the same order.
        decay: float32 scalar in [0, 1]; 0 copies.
    """
    strategy = tf.distribute.get_strategy()
    for average, variable in zip(averages, variables, strict=True):
        strategy.extended.update(average.value, _move, args=(variable.value, decay), group=False)


def _move(average: tf.Variable, variable: tf.Tensor, decay: tf.Tensor) -> None:
    value = tf.convert_to_tensor(variable)
    # Written so that decay 0 gives the variable bit for bit.
    average.assign(value + decay * (tf.convert_to_tensor(average) - value))
