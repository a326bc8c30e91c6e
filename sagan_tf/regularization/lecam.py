"""LeCam: real logits are pulled toward the average of fake logits, and fake logits toward that of real ones."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from sagan_tf.regularization.regularizer import DiscriminatorBatch, WeightedTerm

DECAY = 0.99
"""Decay of the averages of logits, in [0, 1) (Tseng et al. 2021)."""


class LogitAverages(tf.Module):
    """Exponential moving averages of the real and fake logits, equal on all replicas.

    Attributes:
        real, fake: float32 scalars.
        updates: int64 scalar, how many batches they are of.
    """

    def __init__(self) -> None:
        super().__init__(name="logit_averages")
        aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA
        options = {"trainable": False, "aggregation": aggregation}
        self.real = tf.Variable(0.0, name="real", **options)
        self.fake = tf.Variable(0.0, name="fake", **options)
        self.updates = tf.Variable(0, dtype=tf.int64, name="updates", **options)

    def update(self, real_logits: tf.Tensor, fake_logits: tf.Tensor) -> None:
        """Move the averages to the means of a batch, in replica context.

        Until the averages are of 1 / (1 - DECAY) batches, each of these has the same weight, so that they do not start
        from 0.

        Args:
            real_logits: Mean logit of this replica's real images, float32 scalar.
            fake_logits: Mean logit of this replica's fake images.
        """
        context = tf.distribute.get_replica_context()
        means = context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.stack([real_logits, fake_logits]))
        batches = tf.cast(self.updates, tf.float32)
        decay = tf.minimum(DECAY, batches / (batches + 1.0))
        self.real.assign(decay * self.real + (1.0 - decay) * means[0])
        self.fake.assign(decay * self.fake + (1.0 - decay) * means[1])
        self.updates.assign_add(1)


class LeCam(WeightedTerm):
    """LeCam, weight (E[(D(x) - a_F)^2] + E[(D(G(z)) - a_R)^2]), with a_R and a_F the averages of real and fake logits.

    In the first update there are no averages yet, and the term is 0. The averages are of the batches before; the
    authors' code includes the present one, and leaves out real logits below a_F and fake logits above a_R.

    Reference: Tseng et al., Regularizing Generative Adversarial Networks under Limited Data, CVPR 2021.

    Args:
        averages: Part of the run's state.
        weight: Weight of the term.
    """

    metrics = ("lecam_penalty",)

    def __init__(self, averages: LogitAverages, weight: float) -> None:
        super().__init__(weight)
        self._averages = averages

    def _measure(self, batch: DiscriminatorBatch) -> tf.Tensor:
        to_fake = tf.reduce_mean(tf.square(batch.real_logits - self._averages.fake))
        to_real = tf.reduce_mean(tf.square(batch.fake_logits - self._averages.real))
        return tf.where(self._averages.updates > 0, to_fake + to_real, 0.0)

    def after_update(self, metrics: Mapping[str, tf.Tensor]) -> None:
        self._averages.update(metrics["real_logits"], metrics["fake_logits"])
