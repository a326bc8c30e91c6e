"""Adaptive discriminator augmentation (ADA; Karras et al., 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from sagan_tf.augmentation import RandomAugmentation, create_augmentation
from sagan_tf.config import TrainingConfig
from sagan_tf.regularization import Regularizer
from sagan_tf.training.gradients import Metrics

_STEPS_BETWEEN_CHANGES = 4
"""Steps between changes of the probability, as in the paper."""


class AdaptiveProbability(tf.Module, Regularizer):
    """Augmentation probability that rises while the discriminator overfits.

    It falls while the discriminator does not overfit. Overfitting is measured by r_t = E[sign(D(real))] over the real
    images of four steps on all replicas: 0 without overfitting, 1 if the logits of all training images are positive.
    After every four steps the probability changes by a fixed amount, up if r_t is above the target and down if r_t is
    below. (It is also limited to 1, as in PyTorch-StudioGAN; the code of Karras et al. has no upper limit.)

    It is one of the regularizers of the discriminator's update in order to read the logits; it adds 0 to the loss.

    Reference: Karras et al., Training Generative Adversarial Networks with Limited Data, NeurIPS 2020.

    Args:
        config: Options `ada_target` and `ada_speed_images`, and the schedule, which has the images and updates of a
            step.

    Attributes:
        probability: float32 scalar variable in [0, 1], initially 0.
        sign_sum: float32 scalar variable, sum over the updates since the last change of the mean sign.
        num_updates: int64 scalar variable, number of discriminator updates since the last change.
    """

    metrics = ("real_logit_signs",)

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__(name="adaptive_probability")
        self._target = config.ada_target
        self._interval = _STEPS_BETWEEN_CHANGES * config.discriminator_steps_per_step
        self._change = self._interval * config.global_batch_size / config.ada_speed_images
        self.probability = _create_scalar("probability", tf.float32)
        self.sign_sum = _create_scalar("sign_sum", tf.float32)
        self.num_updates = _create_scalar("num_updates", tf.int64)

    def __call__(self, batch: Any) -> tuple[tf.Tensor, Metrics]:
        """Return 0 and the mean sign of the logits of the real images."""
        return tf.zeros([]), {"real_logit_signs": tf.reduce_mean(tf.sign(batch.real_logits))}

    def after_update(self, metrics: Mapping[str, tf.Tensor]) -> None:
        """Count an update of the discriminator; after four steps, change the probability."""
        context = tf.distribute.get_replica_context()
        sign_sum = self.sign_sum + context.all_reduce(tf.distribute.ReduceOp.MEAN, metrics["real_logit_signs"])
        num_updates = self.num_updates + 1
        is_due = num_updates >= self._interval
        direction = tf.sign(sign_sum / self._interval - self._target)
        moved = tf.clip_by_value(self.probability + direction * self._change, 0.0, 1.0)
        self.probability.assign(tf.where(is_due, moved, self.probability))
        self.sign_sum.assign(tf.where(is_due, 0.0, sign_sum))
        self.num_updates.assign(tf.where(is_due, tf.constant(0, tf.int64), num_updates))


def create_training_augmentation(names: Sequence[str], adaptive: AdaptiveProbability | None) -> RandomAugmentation:
    """Create the augmentation of a run.

    Args:
        names: The option `augment`.
        adaptive: The adaptive probability of the run; None applies every augmentation to every image.
    """
    return create_augmentation(names, adaptive.probability.read_value if adaptive else None)


def _create_scalar(name: str, dtype: tf.DType) -> tf.Variable:
    aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return tf.Variable(tf.zeros([], dtype), trainable=False, aggregation=aggregation, name=name)
