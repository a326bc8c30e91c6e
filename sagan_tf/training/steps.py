"""The two alternating updates of SAGAN, as one replica runs them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from sagan_tf.augmentation import RandomAugmentation
from sagan_tf.generation.latents import LatentSampler
from sagan_tf.keras_backend import keras
from sagan_tf.layers import average_moving_statistics
from sagan_tf.losses import AdversarialLoss
from sagan_tf.networks.discriminator import class_scores
from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.regularization import DiscriminatorBatch, GeneratorBatch, Regularizer, add_penalties
from sagan_tf.training.discriminator_outputs import Discriminator, HeldState, Judge, Judgement, hold_state
from sagan_tf.training.gradients import Metrics, accumulate_gradients, apply_gradients, split_batch
from sagan_tf.training.state import TrainState

DISCRIMINATOR_METRICS = (
    "discriminator_loss",
    "real_logits",
    "fake_logits",
    "logit_range",
    "discriminator_gradient_norm",
)
GENERATOR_METRICS = ("generator_loss", "generator_gradient_norm")
"""Keys of what the two updates return, in order; those of regularizers follow."""

_REGULARIZERS = 2**16
"""Stream of the random numbers of regularizers, far from those of augmentations, which are 0, 1, ... by their place."""

Augment = Callable[[tf.Tensor, RandomNumbers], tf.Tensor]
"""Takes images float32 [n, R, R, C] in [-1, 1] and random numbers for each; returns changed images of that shape."""


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
        network_with_features: the discriminator that also returns features, if `judge` is made by `with_features`.
        augment: changes every image that the discriminator sees, real or fake, in both updates.
        discriminator_regularizers, generator_regularizers: terms added to the two losses.
    """

    state: TrainState
    loss: AdversarialLoss
    judge: Judge
    sampler: LatentSampler
    accumulation: int = 1
    network_with_features: keras.Model | None = None
    augment: Augment = RandomAugmentation(())  # none
    discriminator_regularizers: tuple[Regularizer, ...] = ()
    generator_regularizers: tuple[Regularizer, ...] = ()

    @property
    def discriminator_metrics(self) -> tuple[str, ...]:
        """Keys of what `discriminator_step` returns."""
        return DISCRIMINATOR_METRICS + _metrics_of(self.discriminator_regularizers)

    @property
    def generator_metrics(self) -> tuple[str, ...]:
        """Keys of what `generator_step` returns."""
        return GENERATOR_METRICS + _metrics_of(self.generator_regularizers)

    def discriminator_step(self, real_images: tf.Tensor, real_labels: tf.Tensor, draw: tf.Tensor) -> Metrics:
        """One update of the discriminator.

        Args:
            real_images: float32 [replica batch, R, R, C] in [-1, 1].
            real_labels: int32 or int64 [replica batch].
            draw: int64 scalar, the number of the draw of latents, fake labels and augmentations.

        Returns:
            Scalars of this replica, `discriminator_metrics`. The loss is without the terms of regularizers.
        """
        real_labels = tf.cast(real_labels, tf.int64)  # as the sampler's, see `LatentSampler.draw_for_replica`
        latents, fake_labels = self._draw_inputs(real_labels, draw)

        def loss_of(real_images, real_labels, latents, fake_labels, rows):  # type: ignore[no-untyped-def]
            with keras.StatelessScope():
                fake_images = self.state.generator([latents, fake_labels], training=True)
            # Real and fake in one call: u moves once, and sigma is the same for both.
            images = tf.concat([real_images, tf.stop_gradient(fake_images)], 0)
            labels = tf.concat([real_labels, fake_labels], 0)
            numbers = self._random_numbers(draw, rows)
            held = hold_state(self.state.discriminator)
            judgement = self.judge(self._augmented(*numbers), images, labels)
            real_logits, fake_logits = tf.split(judgement.logits, 2)
            loss = self.loss.discriminator(real_logits, fake_logits)
            loss += 2.0 * tf.reduce_mean(judgement.class_losses)  # E over real plus E over fake images
            batch = self._discriminator_batch(images, labels, latents, judgement, numbers, held)
            penalized, penalties = add_penalties(loss, self.discriminator_regularizers, batch)
            return penalized, {
                "discriminator_loss": loss,
                "real_logits": tf.reduce_mean(real_logits),
                "fake_logits": tf.reduce_mean(fake_logits),
                "logit_range": tf.reduce_max(judgement.logits) - tf.reduce_min(judgement.logits),
                **penalties,
            }

        parts = [real_images, real_labels, latents, fake_labels, self.sampler.replica_rows()]
        variables = self.state.discriminator.trainable_variables
        optimizer = self.state.discriminator_optimizer
        gradients, metrics = accumulate_gradients(loss_of, variables, optimizer, parts, self.accumulation)
        norm = apply_gradients(optimizer, gradients, variables)
        average_moving_statistics(self.state.discriminator)
        return _finish(self.discriminator_regularizers, {**metrics, "discriminator_gradient_norm": norm})

    def generator_step(self, real_images: tf.Tensor, real_labels: tf.Tensor, draw: tf.Tensor) -> Metrics:
        """One update of the generator; returns `generator_metrics`.

        Args:
            real_images, real_labels: the batch of the last discriminator update, for losses that compare with it.
            draw: as in `discriminator_step`.
        """
        latents, labels = self._draw_inputs(tf.cast(real_labels, tf.int64), draw)

        def loss_of(latents, labels, rows, *compared):  # type: ignore[no-untyped-def]
            held = hold_state(self.state.generator)
            fake_images = self.state.generator([latents, labels], training=True)
            real_numbers, fake_numbers = self._random_numbers(draw, rows)
            with keras.StatelessScope():
                judgement = self.judge(self._augmented(fake_numbers), fake_images, labels)
            loss = self._generator_loss(judgement.logits, labels, self._augmented(real_numbers), *compared)
            loss += self.loss.generator_class_loss(judgement.class_losses, judgement.logits)
            generate = self._generate_with(labels, held)
            batch = GeneratorBatch(
                latents, labels, fake_images, judgement.logits, generate, real_numbers.stream(_REGULARIZERS)
            )
            penalized, penalties = add_penalties(loss, self.generator_regularizers, batch)
            return penalized, {"generator_loss": loss, **penalties}

        parts = [latents, labels, self.sampler.replica_rows(), *self._compared(real_images)]
        variables = self.state.generator.trainable_variables
        optimizer = self.state.generator_optimizer
        gradients, metrics = accumulate_gradients(loss_of, variables, optimizer, parts, self.accumulation)
        norm = apply_gradients(optimizer, gradients, variables)
        average_moving_statistics(self.state.generator)
        return _finish(self.generator_regularizers, {**metrics, "generator_gradient_norm": norm})

    def _draw_inputs(self, real_labels: tf.Tensor, draw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return this replica's latents and fake labels."""
        return self.sampler.draw_for_replica(draw)

    def _compared(self, real_images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return what `_generator_loss` needs of the real batch; it is cut into parts with the rest."""
        return ()

    def _generator_loss(
        self, fake_logits: tf.Tensor, labels: tf.Tensor, discriminator: Discriminator, *compared: tf.Tensor
    ) -> tf.Tensor:
        """Return the generator's adversarial loss; `discriminator` augments as it does the real images of a pair."""
        return self.loss.generator(fake_logits)

    def _augmented(self, *random_numbers: RandomNumbers) -> Discriminator:
        """Return the discriminator, which sees images that are augmented with these numbers, one after another."""
        numbers = RandomNumbers.concatenate(random_numbers)
        network = self.network_with_features or self.state.discriminator

        def discriminator(inputs: Sequence[tf.Tensor], training: bool) -> Any:
            images, labels = inputs
            return network([self.augment(images, numbers), labels], training=training)

        return discriminator

    def _random_numbers(self, draw: tf.Tensor, rows: tf.Tensor) -> tuple[RandomNumbers, RandomNumbers]:
        """Return the numbers of the real and of the fake images in these rows of the global batch."""
        size = self.sampler.global_batch_size
        seed = self.sampler.image_seed(draw)
        return RandomNumbers(seed, rows, 2 * size), RandomNumbers(seed, size + rows, 2 * size)

    def _generate_with(self, labels: tf.Tensor, held: HeldState) -> Callable[[tf.Tensor], tf.Tensor]:
        def generate(latents: tf.Tensor) -> tf.Tensor:
            with held():
                return self.state.generator([latents, labels], training=True)

        return generate

    def _discriminator_batch(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        latents: tf.Tensor,
        judgement: Judgement,
        random_numbers: tuple[RandomNumbers, RandomNumbers],
        held: HeldState,
    ) -> DiscriminatorBatch:
        """Put together what the regularizers are given; see `DiscriminatorBatch`."""
        (real_images, fake_images), (real_labels, fake_labels) = tf.split(images, 2), split_batch(labels, 2)
        real_logits, fake_logits = tf.split(judgement.logits, 2)
        gradients = judgement.image_gradients
        scores = None
        if judgement.features is not None:
            with held():
                scores = class_scores(self.state.discriminator, tf.split(judgement.features, 2)[0])
        real_gradients, fake_gradients = (None, None) if gradients is None else tf.split(gradients, 2)

        def judge_with(labels: tf.Tensor, numbers: RandomNumbers) -> Callable[[tf.Tensor], tf.Tensor]:
            def judge_again(images: tf.Tensor) -> tf.Tensor:
                with held():
                    return self.judge(self._augmented(numbers), images, labels).logits

            return judge_again

        return DiscriminatorBatch(
            real_images,
            fake_images,
            latents,
            fake_labels,
            real_labels,
            real_logits,
            fake_logits,
            real_gradients,
            fake_gradients,
            scores,
            judge_real=judge_with(real_labels, random_numbers[0]),
            judge_fake=judge_with(fake_labels, random_numbers[1]),
            generate=self._generate_with(fake_labels, keras.StatelessScope),
            random_numbers=random_numbers[0].stream(_REGULARIZERS),
        )


def _metrics_of(regularizers: Sequence[Regularizer]) -> tuple[str, ...]:
    return tuple(name for regularizer in regularizers for name in regularizer.metrics)


def _finish(regularizers: Sequence[Regularizer], metrics: Metrics) -> Metrics:
    """Tell the regularizers of an update that is done; returns its metrics."""
    for regularizer in regularizers:
        regularizer.after_update(metrics)
    return metrics
