"""Batch normalization, whose moving statistics each replica moves by its own batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="sagan_tf")
class BatchNormalization(keras.layers.Layer):
    """Normalizes each channel by the batch's statistics, or by moving averages of them at inference.

    Differs from Keras' layer in three ways: on several replicas each moves its own copy of the moving statistics, which
    `average_moving_statistics` makes equal again, for a whole network at once; the moving variance is the population
    variance whichever kernel computes it; and `ConditionalBatchNormalization` only has to say where gain and bias come
    from.

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
        self._folded: tuple[tf.Tensor, ...] | None = None

    def build(self, input_shape: Any) -> None:
        self._build_statistics(input_shape[-1])
        self.gain = self.add_weight(name="gain", shape=(input_shape[-1],), initializer="ones", autocast=False)
        self.bias = self.add_weight(name="bias", shape=(input_shape[-1],), initializer="zeros", autocast=False)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if self._folded is not None and not training:
            return scaled(inputs, *self._folded)
        return self._normalize(inputs, tf.convert_to_tensor(self.gain), tf.convert_to_tensor(self.bias), training)

    @contextlib.contextmanager
    def folded(self) -> Iterator[None]:
        """A context in which calls use gain and bias with the moving statistics folded in: for inference only.

        A function that is traced inside has two constants in place of four weights.
        """
        outer, self._folded = self._folded, self._fold()
        try:
            yield
        finally:
            self._folded = outer

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "synchronized": self.synchronized,
        }

    def _fold(self) -> tuple[tf.Tensor, ...]:
        """Return what calls inside `folded` use in place of the weights."""
        return _with_statistics(*self._inference_values())

    def _inference_values(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the moving mean, the moving variance with epsilon, the gain and the bias, as they are now."""
        gain, bias = tf.convert_to_tensor(self.gain), tf.convert_to_tensor(self.bias)
        mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
        return mean, variance + self.epsilon, gain, bias

    def _build_statistics(self, channels: int) -> None:
        for name, initializer in (("moving_mean", "zeros"), ("moving_variance", "ones")):
            weight = self.add_weight(
                name=name,
                shape=(channels,),
                initializer=initializer,
                trainable=False,
                autocast=False,
                aggregation="none",
            )
            setattr(self, name, weight)

    def _normalize(self, inputs: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor, training: bool) -> tf.Tensor:
        """Gain * (inputs - mean) / sqrt(variance + epsilon) + bias, gain and bias [channels] or [batch, channels]."""
        if not training:
            mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
            return affine(inputs, mean, variance + self.epsilon, gain, bias)
        if self.synchronized:
            mean, variance = _replica_moments(inputs, tf.convert_to_tensor(self.moving_mean))
            self._move(tf.stop_gradient(mean), tf.stop_gradient(variance))
            return affine(inputs, mean, variance + self.epsilon, gain, bias)
        outputs, mean, variance = _normalized_by_batch(inputs, gain, bias, self.epsilon)
        self._move(mean, variance)
        return outputs

    def _move(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            old = tf.convert_to_tensor(moving)
            moving.assign(old + (1.0 - self.momentum) * (batch - old))


def affine(x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Gain * (x - mean) / sqrt(variance) + bias, gain and bias [channels] or [batch, channels]."""
    return scaled(x, *_with_statistics(mean, variance, gain, bias))


def _with_statistics(
    mean: tf.Tensor, variance: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Gain and bias of what was not yet normalised: one multiplication and one addition a pixel."""
    scale = gain * tf.math.rsqrt(variance)
    return scale, bias - mean * scale


def scaled(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """X * scale + offset for x [batch, height, width, channels], the others [channels] or [batch, channels]."""
    return x * _per_pixel(scale, x.dtype) + _per_pixel(offset, x.dtype)


def _normalized_by_batch(
    x: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalised x, and mean and population variance of each channel, which no gradient flows through.

    One kernel takes the moments and standardises. The gradient is written out so that the standardised x, as large as x
    itself, isn't kept for it.
    """
    channels = x.shape[-1]
    ones = tf.ones([channels])
    options = {"epsilon": epsilon, "is_training": True}

    @tf.custom_gradient
    def normalized(x: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor) -> Any:
        kernel = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=ones, offset=tf.zeros([channels]), mean=tf.zeros([0]), variance=tf.zeros([0]), **options
        )

        def gradient(upstream: tf.Tensor, *of_moments: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            of_x = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=upstream * _per_pixel(gain, x.dtype),
                x=x,
                scale=ones,
                reserve_space_1=kernel.reserve_space_1,
                reserve_space_2=kernel.reserve_space_2,
                reserve_space_3=kernel.reserve_space_3,
                **options,
            ).x_backprop
            axes = [1, 2] if gain.shape.rank == 2 else [0, 1, 2]
            upstream = tf.cast(upstream, tf.float32)
            with tf.control_dependencies([upstream]):  # or it would be made in the forward pass, and kept
                centred = tf.cast(x, tf.float32) - kernel.batch_mean
            of_gain = tf.reduce_sum(upstream * centred, axes) * tf.math.rsqrt(variance + epsilon)
            return of_x, of_gain, tf.reduce_sum(upstream, axes)

        count = tf.cast(tf.size(x) // channels, tf.float32)
        # The kernel returns the sample variance (divided by count - 1).
        variance = kernel.batch_variance * (tf.maximum(count - 1.0, 1.0) / count)
        outputs = kernel.y * _per_pixel(gain, x.dtype) + _per_pixel(bias, x.dtype)
        return (outputs, kernel.batch_mean, variance), gradient

    outputs, mean, variance = normalized(x, gain, bias)
    return outputs, tf.stop_gradient(mean), tf.stop_gradient(variance)


def _per_pixel(values: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """[channels] as it is, or [batch, channels] -> [batch, 1, 1, channels]."""
    values = tf.cast(values, dtype)
    return values[:, tf.newaxis, tf.newaxis, :] if values.shape.rank == 2 else values


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
