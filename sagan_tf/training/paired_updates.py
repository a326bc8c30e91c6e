"""The two updates for losses that compare a real with a fake image."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from sagan_tf.keras_backend import keras
from sagan_tf.training.discriminator_outputs import Discriminator
from sagan_tf.training.steps import AlternatingUpdates


@dataclasses.dataclass(frozen=True)
class PairedUpdates(AlternatingUpdates):
    """Updates that compare each fake image with the real image of the same row.

    The fake images have the labels of the real ones, so that the images of a pair have one class. The generator's
    update takes the real images of the last discriminator update. The loss is a `PairedLoss`.
    """

    def _draw_inputs(self, real_labels: tf.Tensor, draw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        latents, _ = self.sampler.draw_for_replica(draw)
        return latents, real_labels

    def _select_compared(self, real_images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return (real_images,)

    def _compute_generator_loss(
        self, fake_logits: tf.Tensor, labels: tf.Tensor, discriminator: Discriminator, *compared: tf.Tensor
    ) -> tf.Tensor:
        (real_images,) = compared
        with keras.StatelessScope():  # a scope of its own, so that sigma is the one of the fake images
            outputs = self.call_discriminator(discriminator, real_images, labels)
        return self.loss.generator(outputs.logits, fake_logits)
