"""The two alternating updates of SAGAN, as one replica runs them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from sagan_tf.augmentation import RandomAugmentation
from sagan_tf.generation.latents import LatentSampler
from sagan_tf.keras_backend import keras
from sagan_tf.layers import average_moving_statistics
from sagan_tf.losses import AdversarialLoss
from sagan_tf.networks.discriminator import compute_class_scores
from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.regularization import DiscriminatorBatch, GeneratorBatch, Regularizer, add_penalties
from sagan_tf.training.discriminator_outputs import (
    Discriminator,
    DiscriminatorCall,
    DiscriminatorOutputs,
    StateScope,
    hold_state,
)
from sagan_tf.training.gradients import Metrics, accumulate_gradients, apply_gradients
from sagan_tf.training.regularizer_inputs import REGULARIZER_STREAM, Generate, create_discriminator_batch
from sagan_tf.training.state import TrainState

DISCRIMINATOR_METRICS = (
    "discriminator_loss",
    "real_logits",
    "fake_logits",
    "logit_range",
    "discriminator_gradient_norm",
)
GENERATOR_METRICS = ("generator_loss", "generator_gradient_norm")
"""Names of the metrics of the two updates, in order; the metrics of regularizers follow."""

Augment = Callable[[tf.Tensor, RandomNumbers], tf.Tensor]
"""Maps images float32 [n, R, R, C] in [-1, 1] and random numbers of each to augmented images of that shape."""
NO_AUGMENTATION = RandomAugmentation(())


@dataclasses.dataclass(frozen=True)
class AlternatingUpdates:
    """Updates of the discriminator and of the generator.

    Each update changes only its own network. The other network is called inside an empty `StatelessScope`: in training
    mode (batch statistics, one power iteration), but the updates of its moving statistics and `u` are dropped.

    Attributes:
        state: The state that is updated.
        loss: The adversarial loss.
        call_discriminator: The discriminator call: `call_discriminator` or `call_with_classifier`, possibly extended.
        sampler: The sampler of latents and fake labels.
        accumulation: Number of parts that a replica's batch is split into; their gradients are summed and then applied.
        network_with_features: The discriminator that also returns features, if the call is extended by `add_features`.
        augment: The augmentation of every image that the discriminator sees, real or fake, in both updates.
        discriminator_regularizers, generator_regularizers: Terms that are added to the two losses.
    """

    state: TrainState
    loss: AdversarialLoss
    call_discriminator: DiscriminatorCall
    sampler: LatentSampler
    accumulation: int = 1
    network_with_features: keras.Model | None = None
    augment: Augment = NO_AUGMENTATION
    discriminator_regularizers: tuple[Regularizer, ...] = ()
    generator_regularizers: tuple[Regularizer, ...] = ()

    @property
    def discriminator_metrics(self) -> tuple[str, ...]:
        """Names of the metrics that `discriminator_step` returns."""
        return DISCRIMINATOR_METRICS + _list_metric_names(self.discriminator_regularizers)

    @property
    def generator_metrics(self) -> tuple[str, ...]:
        """Names of the metrics that `generator_step` returns."""
        return GENERATOR_METRICS + _list_metric_names(self.generator_regularizers)

    def discriminator_step(self, real_images: tf.Tensor, real_labels: tf.Tensor, draw: tf.Tensor) -> Metrics:
        """Update the discriminator once.

        Args:
            real_images: float32 [replica batch, R, R, C] in [-1, 1].
            real_labels: int32 or int64 [replica batch].
            draw: int64 scalar, the number of the random draw of latents, fake labels and augmentations.

        Returns:
            Scalars of this replica, by the names in `discriminator_metrics`. The loss is without regularization terms.
        """
        real_labels = tf.cast(real_labels, tf.int64)  # the type of the sampler's, see `LatentSampler.draw_for_replica`
        latents, fake_labels = self._draw_inputs(real_labels, draw)
        compute_loss = functools.partial(self._compute_discriminator_loss, draw)
        parts = [real_images, real_labels, latents, fake_labels, self.sampler.get_replica_rows()]
        variables = self.state.discriminator.trainable_variables
        optimizer = self.state.discriminator_optimizer
        gradients, metrics = accumulate_gradients(compute_loss, variables, optimizer, parts, self.accumulation)
        norm = apply_gradients(optimizer, gradients, variables)
        average_moving_statistics(self.state.discriminator)
        return _notify_regularizers(self.discriminator_regularizers, {**metrics, "discriminator_gradient_norm": norm})

    def _compute_discriminator_loss(
        self,
        draw: tf.Tensor,
        real_images: tf.Tensor,
        real_labels: tf.Tensor,
        latents: tf.Tensor,
        fake_labels: tf.Tensor,
        rows: tf.Tensor,
    ) -> tuple[tf.Tensor, Metrics]:
        """Return the regularized discriminator loss on a part of the batch, and metrics."""
        with keras.StatelessScope():
            fake_images = self.state.generator([latents, fake_labels], training=True)
        # Real and fake images in one call: u moves once, and sigma is the same for both.
        images = tf.concat([real_images, tf.stop_gradient(fake_images)], 0)
        labels = tf.concat([real_labels, fake_labels], 0)
        numbers = self._create_random_numbers(draw, rows)
        scope = hold_state(self.state.discriminator)
        outputs = self.call_discriminator(self._wrap_with_augmentation(*numbers), images, labels)
        real_logits, fake_logits = tf.split(outputs.logits, 2)
        loss = self.loss.discriminator(real_logits, fake_logits)
        loss += 2.0 * tf.reduce_mean(outputs.class_losses)  # E over real plus E over fake images
        batch = self._create_discriminator_batch(images, labels, latents, outputs, numbers, scope)
        penalized, penalties = add_penalties(loss, self.discriminator_regularizers, batch)
        return penalized, {
            "discriminator_loss": loss,
            "real_logits": tf.reduce_mean(real_logits),
            "fake_logits": tf.reduce_mean(fake_logits),
            "logit_range": tf.reduce_max(outputs.logits) - tf.reduce_min(outputs.logits),
            **penalties,
        }

    def generator_step(self, real_images: tf.Tensor, real_labels: tf.Tensor, draw: tf.Tensor) -> Metrics:
        """Update the generator once.

        Args:
            real_images: The images of the last discriminator update, for losses that compare with them.
            real_labels: The labels of these images.
            draw: As in `discriminator_step`.

        Returns:
            Scalars of this replica, by the names in `generator_metrics`. The loss is without regularization terms.
        """
        latents, labels = self._draw_inputs(tf.cast(real_labels, tf.int64), draw)
        compute_loss = functools.partial(self._compute_regularized_generator_loss, draw)
        parts = [latents, labels, self.sampler.get_replica_rows(), *self._select_compared(real_images)]
        variables = self.state.generator.trainable_variables
        optimizer = self.state.generator_optimizer
        gradients, metrics = accumulate_gradients(compute_loss, variables, optimizer, parts, self.accumulation)
        norm = apply_gradients(optimizer, gradients, variables)
        average_moving_statistics(self.state.generator)
        return _notify_regularizers(self.generator_regularizers, {**metrics, "generator_gradient_norm": norm})

    def _compute_regularized_generator_loss(
        self, draw: tf.Tensor, latents: tf.Tensor, labels: tf.Tensor, rows: tf.Tensor, *compared: tf.Tensor
    ) -> tuple[tf.Tensor, Metrics]:
        """Return the regularized generator loss on a part of the batch, and metrics."""
        scope = hold_state(self.state.generator)
        fake_images = self.state.generator([latents, labels], training=True)
        real_numbers, fake_numbers = self._create_random_numbers(draw, rows)
        with keras.StatelessScope():
            outputs = self.call_discriminator(self._wrap_with_augmentation(fake_numbers), fake_images, labels)
        discriminator = self._wrap_with_augmentation(real_numbers)
        loss = self._compute_generator_loss(outputs.logits, labels, discriminator, *compared)
        loss += self.loss.generator_class_loss(outputs.class_losses, outputs.logits)
        generate = self._create_generate_function(labels, scope)
        numbers = real_numbers.stream(REGULARIZER_STREAM)
        batch = GeneratorBatch(latents, labels, fake_images, outputs.logits, generate, numbers)
        penalized, penalties = add_penalties(loss, self.generator_regularizers, batch)
        return penalized, {"generator_loss": loss, **penalties}

    def _draw_inputs(self, real_labels: tf.Tensor, draw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the latents and fake labels of this replica."""
        return self.sampler.draw_for_replica(draw)

    def _select_compared(self, real_images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the tensors of the real batch that `_compute_generator_loss` needs."""
        return ()

    def _compute_generator_loss(
        self, fake_logits: tf.Tensor, labels: tf.Tensor, discriminator: Discriminator, *compared: tf.Tensor
    ) -> tf.Tensor:
        """Return the adversarial loss; `discriminator` augments like the real images."""
        return self.loss.generator(fake_logits)

    def _wrap_with_augmentation(self, *random_numbers: RandomNumbers) -> Discriminator:
        """Return the discriminator behind an augmentation with these random numbers."""
        numbers = RandomNumbers.concatenate(random_numbers)
        network = self.network_with_features or self.state.discriminator

        def discriminator(inputs: Sequence[tf.Tensor], training: bool) -> Any:
            images, labels = inputs
            return network([self.augment(images, numbers), labels], training=training)

        return discriminator

    def _create_random_numbers(self, draw: tf.Tensor, rows: tf.Tensor) -> tuple[RandomNumbers, RandomNumbers]:
        """Return the random numbers of real and fake images in rows of the global batch."""
        size = self.sampler.global_batch_size
        seed = self.sampler.get_image_seed(draw)
        return RandomNumbers(seed, rows, 2 * size), RandomNumbers(seed, size + rows, 2 * size)

    def _create_generate_function(self, labels: tf.Tensor, scope: StateScope) -> Generate:
        def generate(latents: tf.Tensor) -> tf.Tensor:
            with scope():
                return self.state.generator([latents, labels], training=True)

        return generate

    def _create_discriminator_batch(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        latents: tf.Tensor,
        outputs: DiscriminatorOutputs,
        random_numbers: tuple[RandomNumbers, RandomNumbers],
        scope: StateScope,
    ) -> DiscriminatorBatch:
        def compute_logits(images: tf.Tensor, labels: tf.Tensor, numbers: RandomNumbers) -> tf.Tensor:
            with scope():
                return self.call_discriminator(self._wrap_with_augmentation(numbers), images, labels).logits

        def compute_scores(features: tf.Tensor) -> tf.Tensor:
            with scope():
                return compute_class_scores(self.state.discriminator, features)

        return create_discriminator_batch(
            (images, labels, latents),
            outputs,
            random_numbers,
            compute_logits=compute_logits,
            compute_scores=compute_scores,
            create_generate_function=functools.partial(self._create_generate_function, scope=keras.StatelessScope),
        )


def _list_metric_names(regularizers: Sequence[Regularizer]) -> tuple[str, ...]:
    return tuple(name for regularizer in regularizers for name in regularizer.metrics)


def _notify_regularizers(regularizers: Sequence[Regularizer], metrics: Metrics) -> Metrics:
    """Report the metrics of a finished update to its regularizers; return the metrics."""
    for regularizer in regularizers:
        regularizer.after_update(metrics)
    return metrics
