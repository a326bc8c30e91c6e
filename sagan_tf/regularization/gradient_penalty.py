"""R1 and R2: the squared norm of the discriminator's gradient at real and at fake images."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from sagan_tf.config import RegularizationConfig
from sagan_tf.regularization.regularizer import DiscriminatorBatch, Metrics, Regularizer
from sagan_tf.schedules import cosine, progress


class GradientPenalty(Regularizer):
    """R1 or R2, gamma / 2 E||grad_x D(x, y)||^2, with the gradient at images before augmentation.

    References: Mescheder et al., Which Training Methods for GANs do actually Converge?, ICML 2018; Huang et al., The
    GAN is dead; long live the GAN!, NeurIPS 2024, where it is applied in every update, as here.

    Args:
        name: Name of the recorded scalar, E||grad_x D(x, y)||^2.
        gradients: Takes the gradients out of a batch.
        weight: Returns gamma, float32 scalar.
    """

    needs_image_gradients = True

    def __init__(
        self, name: str, gradients: Callable[[DiscriminatorBatch], tf.Tensor], weight: Callable[[], tf.Tensor]
    ) -> None:
        self.metrics = (name,)
        self._gradients = gradients
        self._weight = weight

    def __call__(self, batch: DiscriminatorBatch) -> tuple[tf.Tensor, Metrics]:
        gradients = tf.cast(self._gradients(batch), tf.float32)
        squared_norm = tf.reduce_mean(tf.reduce_sum(tf.square(gradients), [1, 2, 3]))
        return self._weight() / 2.0 * squared_norm, {self.metrics[0]: squared_norm}


def annealed_weight(config: RegularizationConfig, weight: float, step: tf.Variable) -> tf.Tensor:
    """Return the weight of a gradient penalty after some steps: float32 scalar.

    It goes along half a cosine from `weight` to the final fraction of it.
    """
    if not config.gradient_penalty_anneal_steps:
        return tf.constant(weight, tf.float32)
    share = cosine(progress(step, 0, config.gradient_penalty_anneal_steps))
    final = config.gradient_penalty_final_fraction
    return weight * (final + (1.0 - final) * share)
