"""Regularizers: their batches, their common class and the sum of their terms."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import tensorflow as tf

from sagan_tf.random_numbers import RandomNumbers

Metrics = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class DiscriminatorBatch:
    """Results of an update of the discriminator on one replica; n images of each kind.

    Attributes:
        real_images, fake_images: float32 [n, R, R, C] in [-1, 1], before augmentation.
        latents, fake_labels: what the fake images were made from: float32 [n, latent_dim], int64 [n].
        real_labels: int64 [n].
        real_logits, fake_logits: float32 [n, 1].
        real_gradients, fake_gradients: float32 [n, R, R, C], of each logit with respect to its image, from the same
            forward pass; None unless a regularizer of the update `needs_image_gradients`.
        real_class_scores: float32 [n, num_classes], what each label would add to the real images' logits, with the
            features and sigma of `real_logits`; None unless a regularizer of the update `needs_class_scores`.
        judge_real, judge_fake: return the logits of changed copies of the real or fake images, with the same labels,
            augmentation and sigma; spectral normalization's `u` does not move.
        generate: returns fake images for other latents and the same labels; no statistics move.
        random_numbers: for each of the n pairs of a real and a fake image, independent of those of augmentations;
            regularizers use streams of it.
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
    judge_real: Callable[[tf.Tensor], tf.Tensor]
    judge_fake: Callable[[tf.Tensor], tf.Tensor]
    generate: Callable[[tf.Tensor], tf.Tensor]
    random_numbers: RandomNumbers


@dataclasses.dataclass(frozen=True)
class GeneratorBatch:
    """Results of an update of the generator on one replica; attributes as in `DiscriminatorBatch`."""

    latents: tf.Tensor
    labels: tf.Tensor
    images: tf.Tensor
    logits: tf.Tensor
    generate: Callable[[tf.Tensor], tf.Tensor]
    random_numbers: RandomNumbers


class Regularizer:
    """A term added to the loss of one of the two updates.

    A subclass implements `__call__`, which takes the update's batch and returns a float32 scalar to add to the loss,
    and scalars to record, whose names are `metrics`.

    Attributes:
        metrics: Names of the scalars.
        needs_image_gradients: Whether the batch has to have `real_gradients` and `fake_gradients`.
        needs_class_scores: Whether the batch has to have `real_class_scores`.
    """

    metrics: tuple[str, ...] = ()
    needs_image_gradients: ClassVar[bool] = False
    needs_class_scores: ClassVar[bool] = False

    def __call__(self, batch: Any) -> tuple[tf.Tensor, Metrics]:
        """Return the term and the scalars; with gradient accumulation it is called for each part of the batch."""
        raise NotImplementedError

    def after_update(self, metrics: Mapping[str, tf.Tensor]) -> None:
        """Change the regularizer's own variables after an update, in replica context.

        Args:
            metrics: Scalars of the update, means over the parts of this replica's batch.
        """


class WeightedTerm(Regularizer):
    """A regularizer that adds a weight times a measure of the batch and records the measure.

    A subclass names the measure in `metrics` and implements `_measure`.

    Args:
        weight: Weight of the term.
    """

    def __init__(self, weight: float) -> None:
        self._weight = weight

    def __call__(self, batch: Any) -> tuple[tf.Tensor, Metrics]:
        measure = self._measure(batch)
        return self._weight * measure, {self.metrics[0]: measure}

    def _measure(self, batch: Any) -> tf.Tensor:
        """Return the measure of a batch, a float32 scalar."""
        raise NotImplementedError


def add_penalties(
    loss: tf.Tensor, regularizers: Sequence[Regularizer], batch: DiscriminatorBatch | GeneratorBatch
) -> tuple[tf.Tensor, Metrics]:
    """Return the loss plus the terms of all regularizers, and their scalars."""
    metrics: Metrics = {}
    for regularizer in regularizers:
        penalty, found = regularizer(batch)
        loss += penalty
        metrics |= found
    return loss, metrics
