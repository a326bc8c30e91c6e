"""Consistency regularization of the discriminator under changes of images (CR, bCR).

References: Zhang et al., Consistency Regularization for Generative Adversarial Networks, ICLR 2020; Zhao et al.,
Improved Consistency Regularization for GANs, AAAI 2021.
"""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS
from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.regularization.regularizer import DiscriminatorBatch, WeightedTerm

_REAL, _FAKE = 0, 1
"""Streams of the random numbers of a batch; `latent_consistency` uses another one."""


class RealConsistency(WeightedTerm):
    """Consistency of the logits of real images: CR, and one half of bCR.

    The term is weight E[(D(x) - D(T(x)))^2] over real images x. T flips an image with probability 1/2 and moves it by
    up to an eighth of its size.

    Args:
        weight: Weight of the term.
    """

    metrics = ("consistency_penalty",)

    def _measure(self, batch: DiscriminatorBatch) -> tf.Tensor:
        logits = batch.compute_real_logits(_flip_and_move(batch.real_images, batch.random_numbers.stream(_REAL)))
        return tf.reduce_mean(tf.square(batch.real_logits - logits))


class FakeConsistency(WeightedTerm):
    """Consistency of the logits of fake images: the other half of bCR.

    The term is weight E[(D(G(z)) - D(T(G(z))))^2], with T as in `RealConsistency`.

    Args:
        weight: Weight of the term.
    """

    metrics = ("fake_consistency_penalty",)

    def _measure(self, batch: DiscriminatorBatch) -> tf.Tensor:
        logits = batch.compute_fake_logits(_flip_and_move(batch.fake_images, batch.random_numbers.stream(_FAKE)))
        return tf.reduce_mean(tf.square(batch.fake_logits - logits))


def _flip_and_move(images: tf.Tensor, random_numbers: RandomNumbers) -> tf.Tensor:
    for stream, name in enumerate(("flip", "translation")):
        augmentation = AUGMENTATIONS[name]
        images = augmentation.augment(images, random_numbers.stream(stream).uniform([augmentation.num_draws]))
    return images
