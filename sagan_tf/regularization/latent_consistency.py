"""Consistency of the discriminator and diversity of the generator under small changes of latents (zCR).

Reference: Zhao et al., Improved Consistency Regularization for GANs, AAAI 2021.
"""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.regularization.regularizer import DiscriminatorBatch, GeneratorBatch, WeightedTerm

_LATENTS = 2
"""Stream of the random numbers of a batch; `consistency` uses the streams before it."""


class _LatentTerm(WeightedTerm):
    def __init__(self, weight: float, noise: float) -> None:
        super().__init__(weight)
        self._noise = noise

    def _generate_nearby(self, batch: DiscriminatorBatch | GeneratorBatch) -> tf.Tensor:
        """Generate images from the latents of a batch plus noise."""
        noise = batch.random_numbers.stream(_LATENTS).normal([batch.latents.shape[1]])
        return batch.generate(batch.latents + self._noise * noise)


class LatentConsistency(_LatentTerm):
    """Consistency of the logits under noise on the latents: zCR in the discriminator's update.

    The term is weight E[(D(G(z)) - D(G(z + noise)))^2].

    Args:
        weight: Weight of the term.
        noise: Standard deviation of the noise.
    """

    metrics = ("latent_consistency_penalty",)

    def _measure(self, batch: DiscriminatorBatch) -> tf.Tensor:
        return tf.reduce_mean(tf.square(batch.fake_logits - batch.compute_fake_logits(self._generate_nearby(batch))))


class LatentDiversity(_LatentTerm):
    """Diversity of the images under noise on the latents: zCR in the generator's update.

    The term is -weight E[(G(z) - G(z + noise))^2], a mean over images and pixels.

    Args:
        weight: Weight of the term, without its sign.
        noise: Standard deviation of the noise.
    """

    metrics = ("latent_diversity",)

    def __init__(self, weight: float, noise: float) -> None:
        super().__init__(-weight, noise)

    def _measure(self, batch: GeneratorBatch) -> tf.Tensor:
        return tf.reduce_mean(tf.square(batch.images - self._generate_nearby(batch)))
