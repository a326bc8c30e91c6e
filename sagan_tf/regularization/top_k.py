"""The generator learns from its best images only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from sagan_tf.config import RegularizationConfig
from sagan_tf.losses import AdversarialLoss

_DECAY = 0.99
"""Factor of the fraction in every epoch (Sinha et al. 2020)."""


def with_top_k(loss: AdversarialLoss, fraction: Callable[[], tf.Tensor]) -> AdversarialLoss:
    """Return a loss whose generator learns from the fake images with the highest logits alone.

    The value is that of all images, and the gradient that of the mean over the best ones. They are chosen on each
    replica and in each part of an accumulated batch. An auxiliary classifier's loss is of the same images (in
    StudioGAN it is of all).

    Reference: Sinha et al., Top-k Training of GANs, NeurIPS 2020.

    Args:
        loss: Its terms are means over the batch.
        fraction: Returns the part of the images that is kept, float32 scalar in (0, 1].
    """

    def generator(*logits: tf.Tensor) -> tf.Tensor:
        *real_logits, fake_logits = logits
        return loss.generator(*real_logits, keep_top(fake_logits, fake_logits, fraction()))

    def generator_class_loss(class_losses: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
        return loss.generator_class_loss(keep_top(class_losses, fake_logits, fraction()), fake_logits)

    return dataclasses.replace(loss, generator=generator, generator_class_loss=generator_class_loss)


def keep_top(values: tf.Tensor, logits: tf.Tensor, fraction: tf.Tensor) -> tf.Tensor:
    """Return values with gradients n / k times as large in the rows of the k highest logits and 0 in the others.

    Args:
        values: float [n, 1].
        logits: float [n, 1]; k is `fraction` of n, rounded up and at least 1; equal logits at the limit are all kept.
        fraction: float32 scalar in (0, 1].
    """
    count = tf.cast(tf.shape(logits)[0], tf.float32)
    # In float32 a product such as 0.6 * 25 is a little above the whole number that is meant.
    # int64 and a gather: TensorFlow computes with int32 and slices by an index on the host, which would wait for a GPU.
    num_kept = tf.maximum(tf.cast(tf.math.ceil(fraction * count - 1e-4), tf.int64), 1)
    least = tf.gather(tf.sort(logits[:, 0], direction="DESCENDING"), num_kept - 1)
    kept = tf.cast(logits >= least, values.dtype)
    constant = tf.stop_gradient(values)
    return constant + kept * (count / tf.reduce_sum(kept)) * (values - constant)


def top_fraction(config: RegularizationConfig, step: tf.Tensor) -> tf.Tensor:
    """Return the part of the fake images that is kept after some steps: float32 scalar in (0, 1]."""
    final = tf.constant(config.generator_top_k, tf.float32)
    if not config.generator_top_k_decay_steps:
        return final
    return tf.maximum(final, tf.pow(_DECAY, tf.cast(step // config.generator_top_k_decay_steps, tf.float32)))
