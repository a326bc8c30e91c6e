"""Base classes of regularizers, the batches that they receive and the sum of their terms."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import tensorflow as tf

from sagan_tf.random_numbers import RandomNumbers

Metrics = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class DiscriminatorBatch:
    """Intermediate results of a discriminator update on one replica, with n real and n fake images.

    Attributes:
        real_images, fake_images: float32 [n, R, R, C] in [-1, 1], before augmentation.
        latents, fake_labels: Inputs of the generator for the fake images, float32 [n, latent_dim] and int64 [n].
        real_labels: int64 [n].
        real_logits, fake_logits: float32 [n, 1].
        real_gradients, fake_gradients: Gradient of each logit with respect to its image, float32 [n, R, R, C], from the
            same forward pass; None unless a regularizer of the update `needs_image_gradients`.
        real_class_scores: Contribution of each label to the logits of the real images, float32 [n, num_classes], with
            the features and sigma of `real_logits`; None unless a regularizer of the update `needs_class_scores`.
        compute_real_logits, compute_fake_logits: Functions that return the logits of changed copies of the real or fake
            images, with the same labels, augmentation and sigma. The `u` of spectral normalization does not change.
        generate: Function that returns fake images for other latents and the same labels. No statistics change.
        random_numbers: Random numbers for each of the n pairs of a real and a fake image, independent of those of
            augmentations. Regularizers use separate streams of them.
    """

    real_images: tf.Tensor
    fake_images: tf.Tensor
    latents: tf.Tensor
    fake_labels: tf.Tensor
    real_labels: tf.Tensor
    real_logits: tf.Tensor
    fake_logits: tf.Tensor
    real_gradients: tf.Tensor | None
    fake_gradients: tf.Tensor | None
    real_class_scores: tf.Tensor | None
    compute_real_logits: Callable[[tf.Tensor], tf.Tensor]
    compute_fake_logits: Callable[[tf.Tensor], tf.Tensor]
    generate: Callable[[tf.Tensor], tf.Tensor]
    random_numbers: RandomNumbers


@dataclasses.dataclass(frozen=True)
class GeneratorBatch:
    """Intermediate results of a generator update on one replica, as in `DiscriminatorBatch`."""

    latents: tf.Tensor
    labels: tf.Tensor
    images: tf.Tensor
    logits: tf.Tensor
    generate: Callable[[tf.Tensor], tf.Tensor]
    random_numbers: RandomNumbers


class Regularizer:
    """A term that is added to the loss of one of the two networks.

    A subclass implements `__call__`, which takes the batch of the update and returns a float32 scalar to add to the
    loss, and scalars to record.

    Attributes:
        metrics: Names of the recorded scalars.
        needs_image_gradients: Whether the batch must have `real_gradients` and `fake_gradients`.
        needs_class_scores: Whether the batch must have `real_class_scores`.
    """

    metrics: tuple[str, ...] = ()
    needs_image_gradients: ClassVar[bool] = False
    needs_class_scores: ClassVar[bool] = False

    def __call__(self, batch: Any) -> tuple[tf.Tensor, Metrics]:
        """Return the term and the recorded scalars.

        With gradient accumulation, this method is called for each part of the batch.
        """
        raise NotImplementedError

    def after_update(self, metrics: Mapping[str, tf.Tensor]) -> None:
        """Change variables of the regularizer after an update, in replica context.

        Args:
            metrics: Scalars of the update, which are means over the parts of this replica's batch.
        """


class WeightedTerm(Regularizer):
    """A regularizer that adds weight * measure and records the measure of a batch.

    A subclass implements `_measure` and sets `metrics` to the name of the measure.

    Args:
        weight: Weight of the term.
    """

    def __init__(self, weight: float) -> None:
        self._weight = weight

    def __call__(self, batch: Any) -> tuple[tf.Tensor, Metrics]:
        """Return the weighted measure and the measure."""
        measure = self._measure(batch)
        return self._weight * measure, {self.metrics[0]: measure}

    def _measure(self, batch: Any) -> tf.Tensor:
        """Compute the measure of a batch, a float32 scalar."""
        raise NotImplementedError


def add_penalties(
    loss: tf.Tensor, regularizers: Sequence[Regularizer], batch: DiscriminatorBatch | GeneratorBatch
) -> tuple[tf.Tensor, Metrics]:
    """Return the loss plus the terms of all regularizers, and their recorded scalars."""
    metrics: Metrics = {}
    for regularizer in regularizers:
        penalty, found = regularizer(batch)
        loss += penalty
        metrics |= found
    return loss, metrics
