"""Adaptive augmentation: a probability of augmentation that follows the discriminator (ADA: Karras et al., 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from sagan_tf.config import TrainingConfig
from sagan_tf.regularization import Regularizer
from sagan_tf.training.gradients import Metrics

_STEPS = 4
"""Steps between changes of the probability, as in the paper."""


class AdaptiveProbability(tf.Module, Regularizer):
    """A probability of augmentation that rises while the discriminator overfits and falls while it does not.

    Overfitting is measured by r_t = E[sign(D(real))] over the real images of the last four steps on all replicas, which
    is 0 without overfitting and 1 where the discriminator is sure of every training image. After them the probability
    moves by a fixed amount, up if r_t is above the target and down if it is below.

    Among the regularizers of the discriminator's update it sees the logits; it adds nothing to the loss.

    Reference: Karras et al., Training Generative Adversarial Networks with Limited Data, NeurIPS 2020.

    Args:
        config: `ada_target` and `ada_speed_images`; the schedule, by which images and updates are counted.

    Attributes:
        probability: float32 scalar variable in [0, 1], 0 at first.
        sign_sum: float32 scalar variable, the sum of the updates' mean signs since the last change.
        num_updates: int64 scalar variable, updates of the discriminator since the last change.
    """

    metrics = ("real_logit_signs",)

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__(name="adaptive_probability")
        self._target = config.ada_target
        self._interval = _STEPS * config.discriminator_steps_per_step
        self._change = self._interval * config.global_batch_size / config.ada_speed_images
        self.probability = _scalar("probability", tf.float32)
        self.sign_sum = _scalar("sign_sum", tf.float32)
        self.num_updates = _scalar("num_updates", tf.int64)

    def __call__(self, batch: Any) -> tuple[tf.Tensor, Metrics]:
        return tf.zeros([]), {"real_logit_signs": tf.reduce_mean(tf.sign(batch.real_logits))}

    def after_update(self, metrics: Mapping[str, tf.Tensor]) -> None:
        """Count an update of the discriminator and, when enough are counted, change the probability."""
        context = tf.distribute.get_replica_context()
        sign_sum = self.sign_sum + context.all_reduce(tf.distribute.ReduceOp.MEAN, metrics["real_logit_signs"])
        num_updates = self.num_updates + 1
        is_due = num_updates >= self._interval
        direction = tf.sign(sign_sum / self._interval - self._target)
        moved = tf.clip_by_value(self.probability + direction * self._change, 0.0, 1.0)
        self.probability.assign(tf.where(is_due, moved, self.probability))
        self.sign_sum.assign(tf.where(is_due, 0.0, sign_sum))
        self.num_updates.assign(tf.where(is_due, tf.constant(0, tf.int64), num_updates))


def _scalar(name: str, dtype: tf.DType) -> tf.Variable:
    aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return tf.Variable(tf.zeros([], dtype), trainable=False, aggregation=aggregation, name=name)
