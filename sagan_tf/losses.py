"""Adversarial losses, which are pure functions of logits.

Add a loss as one entry of `LOSSES`. All logits are float [batch, 1]. All results are scalars, means over the batch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf


def average_class_loss(class_losses: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Return the mean of class losses, float [batch, 1]; the logits are ignored."""
    return tf.reduce_mean(class_losses)


@dataclasses.dataclass(frozen=True)
class AdversarialLoss:
    """Losses of the two networks.

    Attributes:
        discriminator: Function of (real_logits, fake_logits) that returns the discriminator's loss.
        generator: Function of fake_logits that returns the generator's loss.
        generator_class_loss: Function of the class losses, float [batch, 1], and the logits of fake images that returns
            the contribution of an auxiliary classifier to the generator's loss.
        constant_logit_loss: Smallest loss of a discriminator that gives all images the same logit; None if the
            discriminator's loss has no minimum.
    """

    discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    generator: Callable[..., tf.Tensor]
    generator_class_loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = average_class_loss
    constant_logit_loss: float | None = None


@dataclasses.dataclass(frozen=True)
class PairedLoss(AdversarialLoss):
    """Losses of pairs of a real and a fake image with the same label.

    `generator` is a function of (real_logits, fake_logits), as `discriminator` is.
    """


def hinge_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Compute E[max(0, 1 - D(x, y))] + E[max(0, 1 + D(G(z), y))].

    Reference: Zhang et al., Self-Attention Generative Adversarial Networks, ICML 2019, equation 4.
    """
    return tf.reduce_mean(tf.nn.relu(1.0 - real_logits)) + tf.reduce_mean(tf.nn.relu(1.0 + fake_logits))


def hinge_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """Compute -E[D(G(z), y)], the generator's hinge and Wasserstein loss."""
    return -tf.reduce_mean(fake_logits)


def non_saturating_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Compute -E[log sigmoid(D(x))] - E[log(1 - sigmoid(D(G(z))))].

    This is the binary cross-entropy of Goodfellow et al. 2014.
    """
    return tf.reduce_mean(tf.nn.softplus(-real_logits)) + tf.reduce_mean(tf.nn.softplus(fake_logits))


def non_saturating_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """Compute -E[log sigmoid(D(G(z)))]."""
    return tf.reduce_mean(tf.nn.softplus(-fake_logits))


def least_squares_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Compute (E[(D(x) - 1)^2] + E[D(G(z))^2]) / 2.

    This is the loss of Mao et al. 2017 with labels 0 and 1.
    """
    return 0.5 * (tf.reduce_mean(tf.square(real_logits - 1.0)) + tf.reduce_mean(tf.square(fake_logits)))


def least_squares_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """Compute E[(D(G(z)) - 1)^2] / 2."""
    return 0.5 * tf.reduce_mean(tf.square(fake_logits - 1.0))


def wasserstein_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Compute E[D(G(z))] - E[D(x)] (Arjovsky et al. 2017).

    Spectral normalization bounds the slope of the discriminator.
    """
    return tf.reduce_mean(fake_logits) - tf.reduce_mean(real_logits)


def relativistic_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Compute E[softplus(-(D(x, y) - D(G(z), y)))] over pairs of images.

    References: Jolicoeur-Martineau 2019; Huang et al. 2024, equation 2.
    """
    return tf.reduce_mean(tf.nn.softplus(fake_logits - real_logits))


def relativistic_generator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Compute E[softplus(-(D(G(z), y) - D(x, y)))] over pairs of images."""
    return tf.reduce_mean(tf.nn.softplus(real_logits - fake_logits))


LOSSES: dict[str, AdversarialLoss] = {
    "hinge": AdversarialLoss(hinge_discriminator_loss, hinge_generator_loss, constant_logit_loss=2.0),
    "non_saturating": AdversarialLoss(
        non_saturating_discriminator_loss, non_saturating_generator_loss, constant_logit_loss=2.0 * math.log(2.0)
    ),
    "least_squares": AdversarialLoss(
        least_squares_discriminator_loss, least_squares_generator_loss, constant_logit_loss=0.25
    ),
    "wasserstein": AdversarialLoss(wasserstein_discriminator_loss, hinge_generator_loss),
    "relativistic": PairedLoss(
        relativistic_discriminator_loss, relativistic_generator_loss, constant_logit_loss=math.log(2.0)
    ),
}
