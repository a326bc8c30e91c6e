"""Functions that normalize the channels of feature maps by given statistics or by those of the batch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def normalize(x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """Compute gamma * (x - mean) / sqrt(variance) + beta.

    Args:
        x: Float [batch, height, width, channels].
        mean: float32 [channels].
        variance: float32 [channels], epsilon included.
        gamma: float32 [channels] or [batch, channels].
        beta: float32 of the shape of `gamma`.

    Returns:
        A tensor of the shape and dtype of `x`.
    """
    return scale_and_offset(x, *combine_with_statistics(mean, variance, gamma, beta))


def combine_with_statistics(
    mean: tf.Tensor, variance: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the scale and offset of normalization.

    With them, normalization takes one multiplication and one addition per pixel.

    Args:
        mean: float32 [channels].
        variance: float32 [channels], epsilon included.
        gamma: float32 [channels] or [batch, channels].
        beta: float32 of the shape of `gamma`.
    """
    scale = gamma * tf.math.rsqrt(variance)
    return scale, beta - mean * scale


def scale_and_offset(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Compute x * scale + offset.

    Args:
        x: Float [batch, height, width, channels].
        scale: float32 [channels] or [batch, channels].
        offset: float32 of the shape of `scale`.

    Returns:
        A tensor of the shape and dtype of `x`.
    """
    return x * _broadcast_to_pixels(scale, x.dtype) + _broadcast_to_pixels(offset, x.dtype)


def normalize_by_batch(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalize `x` by the statistics of the batch.

    One kernel computes the moments and standardizes. The gradient is written out so that the standardized inputs, which
    are as large as `x`, are not kept for the backward pass.

    Args:
        x: Float [batch, height, width, channels].
        gamma: float32 [channels] or [batch, channels].
        beta: float32 of the shape of `gamma`.
        epsilon: Number added to the variance, above 0.

    Returns:
        The normalized inputs, and the mean and population variance of each channel, float32 [channels], which have no
        gradient.
    """
    channels = x.shape[-1]
    ones = tf.ones([channels])
    options = {"epsilon": epsilon, "is_training": True}

    @tf.custom_gradient
    def normalized(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
        kernel = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=ones, offset=tf.zeros([channels]), mean=tf.zeros([0]), variance=tf.zeros([0]), **options
        )

        def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            x_gradient = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=upstream * _broadcast_to_pixels(gamma, x.dtype),
                x=x,
                scale=ones,
                reserve_space_1=kernel.reserve_space_1,
                reserve_space_2=kernel.reserve_space_2,
                reserve_space_3=kernel.reserve_space_3,
                **options,
            ).x_backprop
            moments = kernel.batch_mean, variance
            return x_gradient, *_differentiate_gamma_and_beta(x, *moments, epsilon, gamma, upstream)

        count = tf.cast(tf.size(x) // channels, tf.float32)
        # The kernel returns the sample variance (divided by count - 1).
        variance = kernel.batch_variance * (tf.maximum(count - 1.0, 1.0) / count)
        outputs = kernel.y * _broadcast_to_pixels(gamma, x.dtype) + _broadcast_to_pixels(beta, x.dtype)
        return (outputs, kernel.batch_mean, variance), gradient

    outputs, mean, variance = normalized(x, gamma, beta)
    return outputs, tf.stop_gradient(mean), tf.stop_gradient(variance)


def _differentiate_gamma_and_beta(
    x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, epsilon: float, gamma: tf.Tensor, upstream: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the gradients of gamma and beta for batch statistics."""
    axes = [1, 2] if gamma.shape.rank == 2 else [0, 1, 2]
    upstream = tf.cast(upstream, tf.float32)
    # Without this dependency the centered inputs would be computed in the forward pass and kept.
    with tf.control_dependencies([upstream]):
        centered = tf.cast(x, tf.float32) - mean
    gamma_gradient = tf.reduce_sum(upstream * centered, axes) * tf.math.rsqrt(variance + epsilon)
    return gamma_gradient, tf.reduce_sum(upstream, axes)


def _broadcast_to_pixels(values: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Reshape [batch, channels] to [batch, 1, 1, channels]; return [channels] as is."""
    values = tf.cast(values, dtype)
    return values[:, tf.newaxis, tf.newaxis, :] if values.shape.rank == 2 else values


def compute_global_moments(x: tf.Tensor, shift: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute each channel's mean and population variance over all replicas.

    E[x^2] - E[x]^2 loses a digit for each factor of 3 between the mean and the standard deviation. It is therefore
    computed about `shift`, a guess of the mean that is the same on every replica.

    Args:
        x: Float [batch, height, width, channels].
        shift: float32 [channels].

    Returns:
        The mean and the variance, float32 [channels].
    """
    x = tf.cast(x, tf.float32) - shift
    moments = [tf.reduce_mean(x, [0, 1, 2]), tf.reduce_mean(tf.square(x), [0, 1, 2])]
    context = tf.distribute.get_replica_context()
    if context is not None and context.num_replicas_in_sync > 1:
        moments = context.all_reduce(tf.distribute.ReduceOp.MEAN, moments)
    mean, mean_of_squares = moments
    # Rounding may leave the difference slightly below 0 where a channel is constant.
    return shift + mean, tf.maximum(mean_of_squares - tf.square(mean), 0.0)
