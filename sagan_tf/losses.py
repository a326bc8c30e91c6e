"""Adversarial losses: functions of logits, nothing else.

A new loss is one entry of `LOSSES`. All logits are float [batch, 1], all results scalars: means over the batch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf


def mean_class_loss(class_losses: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Return the mean of class losses float [batch, 1], whatever the logits are."""
    return tf.reduce_mean(class_losses)


@dataclasses.dataclass(frozen=True)
class AdversarialLoss:
    """What the two networks minimise.

    Attributes:
        discriminator: (real_logits, fake_logits) -> the discriminator's loss.
        generator: fake_logits -> the generator's loss.
        generator_class_loss: (class losses float [batch, 1] and logits of fake images) -> what an auxiliary classifier
            adds to the generator's loss.
        loss_of_guess: the smallest loss of a discriminator that gives all images the same logit; None if the loss of a
            discriminator has no minimum.
    """

    discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    generator: Callable[..., tf.Tensor]
    generator_class_loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = mean_class_loss
    loss_of_guess: float | None = None


@dataclasses.dataclass(frozen=True)
class PairedLoss(AdversarialLoss):
    """A loss of pairs of a real and a fake image with one label: `generator` takes (real_logits, fake_logits) too."""


def hinge_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """E[max(0, 1 - D(x, y))] + E[max(0, 1 + D(G(z), y))] (Zhang et al. 2019, equation 4)."""
    return tf.reduce_mean(tf.nn.relu(1.0 - real_logits)) + tf.reduce_mean(tf.nn.relu(1.0 + fake_logits))


def hinge_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """-E[D(G(z), y)]: the generator's side of the hinge and of the Wasserstein loss."""
    return -tf.reduce_mean(fake_logits)


def non_saturating_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Binary cross-entropy: -E[log sigmoid(D(x))] - E[log(1 - sigmoid(D(G(z))))] (Goodfellow et al. 2014)."""
    return tf.reduce_mean(tf.nn.softplus(-real_logits)) + tf.reduce_mean(tf.nn.softplus(fake_logits))


def non_saturating_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """-E[log sigmoid(D(G(z)))]."""
    return tf.reduce_mean(tf.nn.softplus(-fake_logits))


def least_squares_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """(E[(D(x) - 1)^2] + E[D(G(z))^2]) / 2 (Mao et al. 2017, with labels 0 and 1)."""
    return 0.5 * (tf.reduce_mean(tf.square(real_logits - 1.0)) + tf.reduce_mean(tf.square(fake_logits)))


def least_squares_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """E[(D(G(z)) - 1)^2] / 2."""
    return 0.5 * tf.reduce_mean(tf.square(fake_logits - 1.0))


def wasserstein_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """E[D(G(z))] - E[D(x)] (Arjovsky et al. 2017); spectral normalisation bounds the discriminator's slope."""
    return tf.reduce_mean(fake_logits) - tf.reduce_mean(real_logits)


def relativistic_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """E[softplus(-(D(x, y) - D(G(z), y)))], over pairs (Jolicoeur-Martineau 2019; Huang et al. 2024, equation 2)."""
    return tf.reduce_mean(tf.nn.softplus(fake_logits - real_logits))


def relativistic_generator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """E[softplus(-(D(G(z), y) - D(x, y)))]: the same with the two swapped."""
    return tf.reduce_mean(tf.nn.softplus(real_logits - fake_logits))


LOSSES: dict[str, AdversarialLoss] = {
    "hinge": AdversarialLoss(hinge_discriminator_loss, hinge_generator_loss, loss_of_guess=2.0),
    "non_saturating": AdversarialLoss(
        non_saturating_discriminator_loss, non_saturating_generator_loss, loss_of_guess=2.0 * math.log(2.0)
    ),
    "least_squares": AdversarialLoss(
        least_squares_discriminator_loss, least_squares_generator_loss, loss_of_guess=0.25
    ),
    "wasserstein": AdversarialLoss(wasserstein_discriminator_loss, hinge_generator_loss),
    "relativistic": PairedLoss(
        relativistic_discriminator_loss, relativistic_generator_loss, loss_of_guess=math.log(2.0)
    ),
}
