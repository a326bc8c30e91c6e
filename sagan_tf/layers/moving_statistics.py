"""Averaging of batch normalization's moving statistics over replicas."""

from __future__ import annotations

import keras
import tensorflow as tf

from sagan_tf.keras_backend import iterate_layers
from sagan_tf.layers.batch_normalization import BatchNormalization


def average_moving_statistics(network: keras.Layer) -> None:
    """Replace the moving statistics of a network by their means over replicas.

    Each replica updates its copy of the moving statistics from its own part of the batch. Call this function after
    every training call that updates them, on every replica and in replica context, so that the copies become equal. All
    statistics are sent as one message, because they are small and each message waits for the slowest replica.

    Args:
        network: A layer or model. Only its `BatchNormalization` layers are changed.
    """
    context = tf.distribute.get_replica_context()
    layers = [layer for layer in iterate_layers(network) if isinstance(layer, BatchNormalization)]
    if context.num_replicas_in_sync == 1 or not layers:
        return
    variables = [variable for layer in layers for variable in (layer.moving_mean, layer.moving_variance)]
    values = tf.concat([tf.convert_to_tensor(variable) for variable in variables], 0)
    means = context.all_reduce(tf.distribute.ReduceOp.MEAN, values)
    sizes = [variable.shape[0] for variable in variables]
    for variable, mean in zip(variables, tf.split(means, sizes), strict=True):
        variable.assign(mean)
