"""Consistency of the discriminator under changes of images (CR, bCR) and of latents (zCR).

References: Zhang et al., Consistency Regularization for Generative Adversarial Networks, ICLR 2020; Zhao et al.,
Improved Consistency Regularization for GANs, AAAI 2021.
"""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS
from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.regularization.regularizer import DiscriminatorBatch, GeneratorBatch, Metrics, Regularizer

_REAL, _FAKE, _LATENTS = 0, 1, 2  # streams of a batch's random numbers


class RealConsistency(Regularizer):
    """weight E[(D(x) - D(T(x)))^2] over real images: CR, and half of bCR.

    T flips an image with probability 1/2 and moves it by up to an eighth of its size.

    Args:
        weight: Of the term.
    """

    metrics = ("consistency_penalty",)

    def __init__(self, weight: float) -> None:
        self._weight = weight

    def __call__(self, batch: DiscriminatorBatch) -> tuple[tf.Tensor, Metrics]:
        logits = batch.judge_real(_flip_and_move(batch.real_images, batch.random_numbers.stream(_REAL)))
        penalty = tf.reduce_mean(tf.square(batch.real_logits - logits))
        return self._weight * penalty, {self.metrics[0]: penalty}


class FakeConsistency(Regularizer):
    """weight E[(D(G(z)) - D(T(G(z))))^2]: the other half of bCR; see `RealConsistency`."""

    metrics = ("fake_consistency_penalty",)

    def __init__(self, weight: float) -> None:
        self._weight = weight

    def __call__(self, batch: DiscriminatorBatch) -> tuple[tf.Tensor, Metrics]:
        logits = batch.judge_fake(_flip_and_move(batch.fake_images, batch.random_numbers.stream(_FAKE)))
        penalty = tf.reduce_mean(tf.square(batch.fake_logits - logits))
        return self._weight * penalty, {self.metrics[0]: penalty}


class LatentConsistency(Regularizer):
    """weight E[(D(G(z)) - D(G(z + noise)))^2]: zCR in the discriminator's update.

    Args:
        weight: Of the term.
        noise: Standard deviation of the noise.
    """

    metrics = ("latent_consistency_penalty",)

    def __init__(self, weight: float, noise: float) -> None:
        self._weight = weight
        self._noise = noise

    def __call__(self, batch: DiscriminatorBatch) -> tuple[tf.Tensor, Metrics]:
        images = batch.generate(_add_noise(batch.latents, self._noise, batch.random_numbers))
        penalty = tf.reduce_mean(tf.square(batch.fake_logits - batch.judge_fake(images)))
        return self._weight * penalty, {self.metrics[0]: penalty}


class LatentDiversity(Regularizer):
    """-weight E[(G(z) - G(z + noise))^2], a mean over images and pixels: zCR in the generator's update.

    Args:
        weight: Of the term.
        noise: Standard deviation of the noise.
    """

    metrics = ("latent_diversity",)

    def __init__(self, weight: float, noise: float) -> None:
        self._weight = weight
        self._noise = noise

    def __call__(self, batch: GeneratorBatch) -> tuple[tf.Tensor, Metrics]:
        images = batch.generate(_add_noise(batch.latents, self._noise, batch.random_numbers))
        diversity = tf.reduce_mean(tf.square(batch.images - images))
        return -self._weight * diversity, {self.metrics[0]: diversity}


def _flip_and_move(images: tf.Tensor, random_numbers: RandomNumbers) -> tf.Tensor:
    for stream, name in enumerate(("flip", "translation")):
        augmentation = AUGMENTATIONS[name]
        images = augmentation.augment(images, random_numbers.stream(stream).uniform([augmentation.num_draws]))
    return images


def _add_noise(latents: tf.Tensor, noise: float, random_numbers: RandomNumbers) -> tf.Tensor:
    return latents + noise * random_numbers.stream(_LATENTS).normal([latents.shape[1]])
