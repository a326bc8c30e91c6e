"""Batch normalisation whose statistics stay the same on every replica."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="sagan_tf")
class BatchNormalization(keras.layers.Layer):
    """Normalises each channel by the batch's statistics, or by moving averages of them at inference.

    Differs from Keras' layer in three ways: moving statistics are averaged over replicas when they are written, so
    replicas never drift apart; the moving variance is the population variance whichever kernel computes it; and
    `ConditionalBatchNormalization` only has to say where gain and bias come from.

    Args:
        momentum: of the moving statistics, at least 0 and below 1.
        epsilon: added to the variance.
        synchronized: whether a batch is the global batch (statistics over all replicas) or each replica's own part.
            Replicas must then have parts of one size.

    Call arguments:
        inputs: [batch, height, width, channels], float.
        training: whether to use the batch's statistics and to move the moving ones.

    Returns:
        A tensor of the inputs' shape and dtype.

    Reference: Ioffe & Szegedy, Batch Normalization, ICML 2015.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, synchronized: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"`momentum` must be at least 0 and below 1. Received: {momentum}")
        if not epsilon > 0.0:
            raise ValueError(f"`epsilon` must be above 0. Received: {epsilon}")
        self.momentum = momentum
        self.epsilon = epsilon
        self.synchronized = synchronized

    def build(self, input_shape: Any) -> None:
        self._build_statistics(input_shape[-1])
        self.gain = self.add_weight(name="gain", shape=(input_shape[-1],), initializer="ones", autocast=False)
        self.bias = self.add_weight(name="bias", shape=(input_shape[-1],), initializer="zeros", autocast=False)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self._normalize(inputs, tf.convert_to_tensor(self.gain), tf.convert_to_tensor(self.bias), training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "synchronized": self.synchronized,
        }

    def _build_statistics(self, channels: int) -> None:
        for name, initializer in (("moving_mean", "zeros"), ("moving_variance", "ones")):
            weight = self.add_weight(
                name=name,
                shape=(channels,),
                initializer=initializer,
                trainable=False,
                autocast=False,
                aggregation="mean",
            )
            setattr(self, name, weight)

    def _normalize(self, inputs: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor, training: bool) -> tf.Tensor:
        """gain * (inputs - mean) / sqrt(variance + epsilon) + bias, gain and bias [channels] or [batch, channels]."""
        if not training:
            mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
            return _affine(inputs, mean, variance + self.epsilon, gain, bias)
        if self.synchronized:
            mean, variance = _replica_moments(inputs, tf.convert_to_tensor(self.moving_mean))
            self._move(mean, variance)
            return _affine(inputs, mean, variance + self.epsilon, gain, bias)
        standardized, mean, variance = _fused_moments(inputs, self.epsilon)
        self._move(mean, variance)
        if gain.shape.rank == 2:
            gain, bias = gain[:, None, None, :], bias[:, None, None, :]
        return standardized * tf.cast(gain, inputs.dtype) + tf.cast(bias, inputs.dtype)

    def _move(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            old = tf.convert_to_tensor(moving)
            moving.assign(old + (1.0 - self.momentum) * (tf.stop_gradient(batch) - old))


def _affine(x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Normalisation as one multiplication and one addition a pixel."""
    scale = gain * tf.math.rsqrt(variance)
    offset = bias - mean * scale
    if scale.shape.rank == 2:
        scale, offset = scale[:, None, None, :], offset[:, None, None, :]
    return x * tf.cast(scale, x.dtype) + tf.cast(offset, x.dtype)


def _fused_moments(x: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Standardised x, mean and population variance of each channel, in one kernel (which takes epsilon as it is)."""
    channels = x.shape[-1]
    outputs = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=tf.ones([channels]),
        offset=tf.zeros([channels]),
        mean=tf.zeros([0]),
        variance=tf.zeros([0]),
        epsilon=epsilon,
        is_training=True,
    )
    count = tf.cast(tf.size(x) // channels, tf.float32)
    # The kernel returns the sample variance (divided by count - 1).
    return outputs.y, outputs.batch_mean, outputs.batch_variance * (tf.maximum(count - 1.0, 1.0) / count)


def _replica_moments(x: tf.Tensor, shift: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and population variance of each channel over all replicas, float32.

    E[x^2] - E[x]^2 loses a digit for each factor of 3 between mean and deviation: it is taken about `shift`, a guess
    of the mean that is the same on every replica.
    """
    x = tf.cast(x, tf.float32) - shift
    moments = [tf.reduce_mean(x, [0, 1, 2]), tf.reduce_mean(tf.square(x), [0, 1, 2])]
    context = tf.distribute.get_replica_context()
    if context is not None and context.num_replicas_in_sync > 1:
        moments = context.all_reduce(tf.distribute.ReduceOp.MEAN, moments)
    mean, mean_of_squares = moments
    # Rounding may leave the difference a little below 0 where a channel is constant.
    return shift + mean, tf.maximum(mean_of_squares - tf.square(mean), 0.0)
