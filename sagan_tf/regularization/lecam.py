"""LeCam regularization: real logits are pulled toward the average fake logit, and fake logits toward the real one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from sagan_tf.config import RegularizationConfig
from sagan_tf.regularization.regularizer import DiscriminatorBatch, WeightedTerm


class LogitAverages(tf.Module):
    """Exponential moving averages of the real and fake logits, equal on all replicas.

    Args:
        decay: Decay of the averages, in [0, 1).

    Attributes:
        real, fake: Average logits of real and of fake images, float32 scalars.
        updates: Number of batches in the averages, an int64 scalar.
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
        """Update the averages with the means of a batch, in replica context.

        The first 1 / (1 - decay) batches have equal weights, so that the averages are not biased toward 0.

        Args:
            real_logits: Mean logit of the real images of this replica, a float32 scalar.
            fake_logits: Mean logit of the fake images of this replica, a float32 scalar.
        """
        context = tf.distribute.get_replica_context()
        means = context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.stack([real_logits, fake_logits]))
        batches = tf.cast(self.updates, tf.float32)
        decay = tf.minimum(self._decay, batches / (batches + 1.0))
        self.real.assign(decay * self.real + (1.0 - decay) * means[0])
        self.fake.assign(decay * self.fake + (1.0 - decay) * means[1])
        self.updates.assign_add(1)


class LeCam(WeightedTerm):
    """LeCam term: weight (E[f(D(x) - a_F)^2] + E[f(a_R - D(G(z)))^2]).

    a_R and a_F are the averages of real and fake logits. Without clipping, f(d) = d, as in the equation of the paper.
    With clipping, f(d) = max(0, d), as in the authors' code (github.com/google/lecam-gan) and in StudioGAN: real logits
    below a_F and fake logits above a_R then have no term.

    In the first update there are no averages yet, and the term is 0. Two differences from the authors' code remain:
    there, the averages include the current batch, while here they only include the previous batches; and in its BigGAN,
    the averages are the means of the last batch until the term starts.

    Reference: Tseng et al., Regularizing Generative Adversarial Networks under Limited Data, CVPR 2021.

    Args:
        averages: Averages of the logits, which are part of the state of a run.
        config: Weight, clipping and first step of the term.
        step: Number of generator updates done, an int64 scalar.
    """

    metrics = ("lecam_penalty",)

    def __init__(self, averages: LogitAverages, config: RegularizationConfig, step: tf.Variable) -> None:
        super().__init__(config.lecam_weight)
        self._averages = averages
        self._clip: Callable[[tf.Tensor], tf.Tensor] = tf.nn.relu if config.lecam_clip else _return_unchanged
        self._start_step = config.lecam_start_step
        self._step = step

    def _measure(self, batch: DiscriminatorBatch) -> tf.Tensor:
        to_fake = tf.reduce_mean(tf.square(self._clip(batch.real_logits - self._averages.fake)))
        to_real = tf.reduce_mean(tf.square(self._clip(self._averages.real - batch.fake_logits)))
        is_on = (self._averages.updates > 0) & (self._step >= self._start_step)
        return tf.where(is_on, to_fake + to_real, 0.0)

    def after_update(self, metrics: Mapping[str, tf.Tensor]) -> None:
        """Update the averages with the logits of the update."""
        self._averages.update(metrics["real_logits"], metrics["fake_logits"])


def _return_unchanged(distances: tf.Tensor) -> tf.Tensor:
    return distances
