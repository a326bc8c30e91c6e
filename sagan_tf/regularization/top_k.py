"""Top-k training: the generator learns only from the fake images with the highest logits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from sagan_tf.config import RegularizationConfig
from sagan_tf.losses import AdversarialLoss

_DECAY = 0.99
"""Factor of the kept fraction in each decay interval, which is one epoch in Sinha et al. 2020."""


def restrict_to_top_k(loss: AdversarialLoss, fraction: Callable[[], tf.Tensor]) -> AdversarialLoss:
    """Return a loss with gradients only for the fake images with the highest logits.

    The value of the generator's loss is that of all images. Its gradient is that of the mean over the kept images,
    which are selected on each replica and in each part of an accumulated batch. The loss of an auxiliary classifier
    uses the same images (in StudioGAN it uses all of them).

    Reference: Sinha et al., Top-k Training of GANs, NeurIPS 2020.

    Args:
        loss: A loss whose terms are means over the batch.
        fraction: Function that returns the fraction of images that is kept, a float32 scalar in (0, 1].

    Returns:
        A loss of the same class.
    """

    def generator(*logits: tf.Tensor) -> tf.Tensor:
        *real_logits, fake_logits = logits
        return loss.generator(*real_logits, keep_top_gradients(fake_logits, fake_logits, fraction()))

    def generator_class_loss(class_losses: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
        return loss.generator_class_loss(keep_top_gradients(class_losses, fake_logits, fraction()), fake_logits)

    return dataclasses.replace(loss, generator=generator, generator_class_loss=generator_class_loss)


def keep_top_gradients(values: tf.Tensor, logits: tf.Tensor, fraction: tf.Tensor) -> tf.Tensor:
    """Return values with gradients only in the rows of the k highest logits.

    The gradients of these rows are multiplied by n / k, and those of all other rows are 0.

    Args:
        values: Float [n, 1].
        logits: Float [n, 1]. k is `fraction` of n, rounded up and at least 1. Rows that tie with the k-th are all kept.
        fraction: float32 scalar in (0, 1].

    Returns:
        A tensor equal to `values`.
    """
    count = tf.cast(tf.shape(logits)[0], tf.float32)
    # The 1e-4 corrects float32 products that are slightly above an integer, such as 0.6 * 25.
    # int64 and a gather, because TensorFlow computes int32 and slices by an index on the host, which would have to wait
    # for the GPU.
    num_kept = tf.maximum(tf.cast(tf.math.ceil(fraction * count - 1e-4), tf.int64), 1)
    threshold = tf.gather(tf.sort(logits[:, 0], direction="DESCENDING"), num_kept - 1)
    kept = tf.cast(logits >= threshold, values.dtype)
    constant = tf.stop_gradient(values)
    return constant + kept * (count / tf.reduce_sum(kept)) * (values - constant)


def compute_top_fraction(config: RegularizationConfig, step: tf.Tensor) -> tf.Tensor:
    """Return the fraction of fake images that is kept at a step.

    Args:
        config: The final fraction, and the number of steps after which the fraction falls once.
        step: Number of generator updates done, an int64 scalar.

    Returns:
        A float32 scalar in (0, 1].
    """
    final = tf.constant(config.generator_top_k, tf.float32)
    if not config.generator_top_k_decay_steps:
        return final
    return tf.maximum(final, tf.pow(_DECAY, tf.cast(step // config.generator_top_k_decay_steps, tf.float32)))
