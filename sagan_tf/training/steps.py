"""The two alternating updates of SAGAN, as one replica runs them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from sagan_tf.losses import AdversarialLoss
from sagan_tf.training.gradients import Metrics, accumulate_gradients, apply_gradients
from sagan_tf.training.sampling import LatentSampler
from sagan_tf.training.state import TrainState


class Judgement(NamedTuple):
    """What the discriminator says of a batch.

    Attributes:
        logits: float32 [batch, 1].
        class_losses: float32 [batch, 1], cross-entropy of the class it sees; zeros unless it classifies.
    """

    logits: tf.Tensor
    class_losses: tf.Tensor


DISCRIMINATOR_METRICS = ("discriminator_loss", "real_logits", "fake_logits", "discriminator_gradient_norm")
GENERATOR_METRICS = ("generator_loss", "generator_gradient_norm")
"""Keys of what the two updates return, in order."""

Judge = Callable[[keras.Model, tf.Tensor, tf.Tensor], Judgement]


def judge(discriminator: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> Judgement:
    """Of a discriminator with logits alone: images [batch, R, R, C] in [-1, 1], labels int32 [batch]."""
    logits = discriminator([images, labels], training=True)
    return Judgement(logits, tf.zeros_like(logits))


def judge_and_classify(discriminator: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> Judgement:
    """Of a discriminator with an auxiliary classifier (AC-GAN)."""
    logits, class_logits = discriminator([images, labels], training=True)
    class_losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, class_logits)
    return Judgement(logits, class_losses[:, tf.newaxis])


@dataclasses.dataclass(frozen=True)
class AlternatingUpdates:
    """The discriminator's and the generator's update.

    Each moves its own network only. The other network is called inside an empty `StatelessScope`: in training mode
    (batch statistics, one power iteration), but whatever it would write, moving statistics and `u`, is dropped.

    Attributes:
        state: what is updated.
        loss: the adversarial loss.
        judge: how the discriminator is asked: `judge` or `judge_and_classify`.
        sampler: draws latents and fake labels.
        accumulation: parts that a replica's batch is cut into; the gradients are summed before they are applied.
    """

    state: TrainState
    loss: AdversarialLoss
    judge: Judge
    sampler: LatentSampler
    accumulation: int = 1

    def discriminator_step(self, real_images: tf.Tensor, real_labels: tf.Tensor, draw: tf.Tensor) -> Metrics:
        """One update of the discriminator.

        Args:
            real_images: float32 [replica batch, R, R, C] in [-1, 1].
            real_labels: int32 [replica batch].
            draw: int64 scalar, the number of the draw of latents and fake labels.

        Returns:
            Scalars of this replica, `DISCRIMINATOR_METRICS`.
        """
        latents, fake_labels = self.sampler.draw_for_replica(draw)

        def loss_of(real_images, real_labels, latents, fake_labels):  # type: ignore[no-untyped-def]
            with keras.StatelessScope():
                fake_images = self.state.generator([latents, fake_labels], training=True)
            # Real and fake in one call: u moves once, and sigma is the same for both.
            images = tf.concat([real_images, tf.stop_gradient(fake_images)], 0)
            judgement = self.judge(self.state.discriminator, images, tf.concat([real_labels, fake_labels], 0))
            real_logits, fake_logits = tf.split(judgement.logits, 2)
            loss = self.loss.discriminator(real_logits, fake_logits)
            loss += 2.0 * tf.reduce_mean(judgement.class_losses)  # E over real plus E over fake images
            return loss, {
                "discriminator_loss": loss,
                "real_logits": tf.reduce_mean(real_logits),
                "fake_logits": tf.reduce_mean(fake_logits),
            }

        parts = [real_images, real_labels, latents, fake_labels]
        variables = self.state.discriminator.trainable_variables
        optimizer = self.state.discriminator_optimizer
        gradients, metrics = accumulate_gradients(loss_of, variables, optimizer, parts, self.accumulation)
        norm = apply_gradients(optimizer, gradients, variables)
        return {**metrics, "discriminator_gradient_norm": norm}

    def generator_step(self, draw: tf.Tensor) -> Metrics:
        """One update of the generator; returns `GENERATOR_METRICS`; `draw` as in `discriminator_step`."""
        latents, labels = self.sampler.draw_for_replica(draw)

        def loss_of(latents, labels):  # type: ignore[no-untyped-def]
            fake_images = self.state.generator([latents, labels], training=True)
            with keras.StatelessScope():
                judgement = self.judge(self.state.discriminator, fake_images, labels)
            loss = self.loss.generator(judgement.logits) + tf.reduce_mean(judgement.class_losses)
            return loss, {"generator_loss": loss}

        variables = self.state.generator.trainable_variables
        optimizer = self.state.generator_optimizer
        gradients, metrics = accumulate_gradients(loss_of, variables, optimizer, [latents, labels], self.accumulation)
        norm = apply_gradients(optimizer, gradients, variables)
        return {**metrics, "generator_gradient_norm": norm}
