"""Consistency of the discriminator under changes of images (CR, bCR).

References: Zhang et al., Consistency Regularization for Generative Adversarial Networks, ICLR 2020; Zhao et al.,
Improved Consistency Regularization for GANs, AAAI 2021.
"""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS
from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.regularization.regularizer import DiscriminatorBatch, WeightedTerm

_REAL, _FAKE = 0, 1
"""Streams of a batch's random numbers; `latent_consistency` has another."""


class RealConsistency(WeightedTerm):
    """The term weight E[(D(x) - D(T(x)))^2] over real images: CR, and half of bCR.

    T flips an image with probability 1/2 and moves it by up to an eighth of its size.

    Args:
        weight: Weight of the term.
    """

    metrics = ("consistency_penalty",)

    def _measure(self, batch: DiscriminatorBatch) -> tf.Tensor:
        logits = batch.judge_real(_flip_and_move(batch.real_images, batch.random_numbers.stream(_REAL)))
        return tf.reduce_mean(tf.square(batch.real_logits - logits))


class FakeConsistency(WeightedTerm):
    """The term weight E[(D(G(z)) - D(T(G(z))))^2], the other half of bCR; see `RealConsistency`.

    Args:
        weight: Weight of the term.
    """

    metrics = ("fake_consistency_penalty",)

    def _measure(self, batch: DiscriminatorBatch) -> tf.Tensor:
        logits = batch.judge_fake(_flip_and_move(batch.fake_images, batch.random_numbers.stream(_FAKE)))
        return tf.reduce_mean(tf.square(batch.fake_logits - logits))


def _flip_and_move(images: tf.Tensor, random_numbers: RandomNumbers) -> tf.Tensor:
    for stream, name in enumerate(("flip", "translation")):
        augmentation = AUGMENTATIONS[name]
        images = augmentation.augment(images, random_numbers.stream(stream).uniform([augmentation.num_draws]))
    return images
