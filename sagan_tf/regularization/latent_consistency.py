"""Consistency of the discriminator, and diversity of the generator, under small changes of latents (zCR).

Reference: Zhao et al., Improved Consistency Regularization for GANs, AAAI 2021.
"""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.regularization.regularizer import DiscriminatorBatch, GeneratorBatch, WeightedTerm

_LATENTS = 2
"""Stream of a batch's random numbers; `consistency` has those before it."""


class _LatentTerm(WeightedTerm):
    def __init__(self, weight: float, noise: float) -> None:
        super().__init__(weight)
        self._noise = noise

    def _generate_nearby(self, batch: DiscriminatorBatch | GeneratorBatch) -> tf.Tensor:
        """Return images made from latents with noise."""
        noise = batch.random_numbers.stream(_LATENTS).normal([batch.latents.shape[1]])
        return batch.generate(batch.latents + self._noise * noise)


class LatentConsistency(_LatentTerm):
    """The term weight E[(D(G(z)) - D(G(z + noise)))^2]: zCR in the discriminator's update.

    Args:
        weight: Weight of the term.
        noise: Standard deviation of the noise.
    """

    metrics = ("latent_consistency_penalty",)

    def _measure(self, batch: DiscriminatorBatch) -> tf.Tensor:
        return tf.reduce_mean(tf.square(batch.fake_logits - batch.judge_fake(self._generate_nearby(batch))))


class LatentDiversity(_LatentTerm):
    """The term -weight E[(G(z) - G(z + noise))^2], a mean over images and pixels: zCR in the generator's update.

    Args:
        weight: Weight of the term, without its sign.
        noise: Standard deviation of the noise.
    """

    metrics = ("latent_diversity",)

    def __init__(self, weight: float, noise: float) -> None:
        super().__init__(-weight, noise)

    def _measure(self, batch: GeneratorBatch) -> tf.Tensor:
        return tf.reduce_mean(tf.square(batch.images - self._generate_nearby(batch)))
