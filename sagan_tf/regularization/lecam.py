"""LeCam: real logits are pulled toward the average of fake logits, and fake logits toward that of real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from sagan_tf.config import RegularizationConfig
from sagan_tf.regularization.regularizer import DiscriminatorBatch, WeightedTerm


class LogitAverages(tf.Module):
    """Exponential moving averages of the real and fake logits, equal on all replicas.

    Args:
        decay: Their decay, in [0, 1).

    Attributes:
        real, fake: float32 scalars.
        updates: int64 scalar, how many batches they are of.
    """

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__(name="logit_averages")
        self._decay = decay
        aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA
        options = {"trainable": False, "aggregation": aggregation}
        self.real = tf.Variable(0.0, name="real", **options)
        self.fake = tf.Variable(0.0, name="fake", **options)
        self.updates = tf.Variable(0, dtype=tf.int64, name="updates", **options)

    def update(self, real_logits: tf.Tensor, fake_logits: tf.Tensor) -> None:
        """Move the averages to the means of a batch, in replica context.

        Until the averages are of 1 / (1 - decay) batches, each of these has the same weight, so that they do not start
        from 0.

        Args:
            real_logits: Mean logit of this replica's real images, float32 scalar.
            fake_logits: Mean logit of this replica's fake images.
        """
        context = tf.distribute.get_replica_context()
        means = context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.stack([real_logits, fake_logits]))
        batches = tf.cast(self.updates, tf.float32)
        decay = tf.minimum(self._decay, batches / (batches + 1.0))
        self.real.assign(decay * self.real + (1.0 - decay) * means[0])
        self.fake.assign(decay * self.fake + (1.0 - decay) * means[1])
        self.updates.assign_add(1)


class LeCam(WeightedTerm):
    """LeCam, weight (E[f(D(x) - a_F)^2] + E[f(a_R - D(G(z)))^2]).

    a_R and a_F are the averages of real and fake logits. Without clipping f(d) = d, the equation of the paper. With
    clipping f(d) = max(0, d), as in the authors' code (github.com/google/lecam-gan) and in StudioGAN: real logits below
    a_F and fake logits above a_R then have no term.

    In the first update there are no averages yet, and the term is 0. Two differences from the authors' code remain: its
    averages include the present batch, where these are of the batches before; and in its BigGAN they are the last
    batch's means until the term starts.

    Reference: Tseng et al., Regularizing Generative Adversarial Networks under Limited Data, CVPR 2021.

    Args:
        averages: Part of the run's state.
        config: Weight, clipping and start of the term.
        step: Generator updates done, int64 scalar.
    """

    metrics = ("lecam_penalty",)

    def __init__(self, averages: LogitAverages, config: RegularizationConfig, step: tf.Variable) -> None:
        super().__init__(config.lecam_weight)
        self._averages = averages
        self._clip: Callable[[tf.Tensor], tf.Tensor] = tf.nn.relu if config.lecam_clip else _keep
        self._start_step = config.lecam_start_step
        self._step = step

    def _measure(self, batch: DiscriminatorBatch) -> tf.Tensor:
        to_fake = tf.reduce_mean(tf.square(self._clip(batch.real_logits - self._averages.fake)))
        to_real = tf.reduce_mean(tf.square(self._clip(self._averages.real - batch.fake_logits)))
        is_on = (self._averages.updates > 0) & (self._step >= self._start_step)
        return tf.where(is_on, to_fake + to_real, 0.0)

    def after_update(self, metrics: Mapping[str, tf.Tensor]) -> None:
        self._averages.update(metrics["real_logits"], metrics["fake_logits"])


def _keep(distances: tf.Tensor) -> tf.Tensor:
    return distances
