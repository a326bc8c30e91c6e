"""R1 and R2 gradient penalties: the squared norm of the discriminator's gradient at real and at fake images."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from sagan_tf.config import RegularizationConfig
from sagan_tf.regularization.regularizer import DiscriminatorBatch, Metrics, Regularizer
from sagan_tf.schedules import compute_cosine_decay, compute_progress


class GradientPenalty(Regularizer):
    """R1 or R2 penalty: gamma / 2 E||grad_x D(x, y)||^2.

    The gradient is with respect to images before augmentation.

    References: Mescheder et al., Which Training Methods for GANs do actually Converge?, ICML 2018; Huang et al., The
    GAN is dead; long live the GAN!, NeurIPS 2024, where the penalty is applied in every update, as here.

    Args:
        name: Name of the recorded scalar, E||grad_x D(x, y)||^2.
        gradients: Function that returns the gradients of a batch.
        weight: Function that returns gamma, a float32 scalar.
    """

    needs_image_gradients = True

    def __init__(
        self, name: str, gradients: Callable[[DiscriminatorBatch], tf.Tensor], weight: Callable[[], tf.Tensor]
    ) -> None:
        self.metrics = (name,)
        self._gradients = gradients
        self._weight = weight

    def __call__(self, batch: DiscriminatorBatch) -> tuple[tf.Tensor, Metrics]:
        """Return the penalty and the mean squared norm."""
        gradients = tf.cast(self._gradients(batch), tf.float32)
        squared_norm = tf.reduce_mean(tf.reduce_sum(tf.square(gradients), [1, 2, 3]))
        return self._weight() / 2.0 * squared_norm, {self.metrics[0]: squared_norm}


def anneal_weight(config: RegularizationConfig, weight: float, step: tf.Variable) -> tf.Tensor:
    """Return the weight of a gradient penalty at a step.

    The weight falls along half a cosine from `weight` to `gradient_penalty_final_fraction` of it.

    Args:
        config: The final fraction and the number of annealing steps.
        weight: Weight at step 0.
        step: Number of generator updates done, an int64 scalar.

    Returns:
        A float32 scalar.
    """
    if not config.gradient_penalty_anneal_steps:
        return tf.constant(weight, tf.float32)
    share = compute_cosine_decay(compute_progress(step, 0, config.gradient_penalty_anneal_steps))
    final = config.gradient_penalty_final_fraction
    return weight * (final + (1.0 - final) * share)
