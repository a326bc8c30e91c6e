"""What the replicas of a run add up among themselves in a step: how much, in how many messages."""

from __future__ import annotations

from sagan_tf.config import Config
from sagan_tf.training.steps import DISCRIMINATOR_METRICS, GENERATOR_METRICS
from tools.scaling_model.communication import Reduction
from tools.scaling_model.step import NetworkSizes


def reductions(sizes: NetworkSizes, config: Config) -> tuple[Reduction, ...]:
    """Everything that is all-reduced in a step of several workers.

    The gradients of an update go as one message, once they are all there, and so do the moving means and variances at
    the end of the generator's update. u, sigma and the averaged generator are never sent to other replicas: each
    computes the same.
    """
    repeats = config.training.discriminator_steps_per_step
    updates = repeats + 1
    logged = repeats * len(DISCRIMINATOR_METRICS) + len(GENERATOR_METRICS)
    found = [
        Reduction("gradients of the discriminator", repeats, repeats * sizes.discriminator),
        Reduction("gradients of the generator", 1, sizes.generator),
        Reduction("moving means and variances", min(sizes.normalizations, 1), 2 * sizes.normalized_channels),
        Reduction("what is logged", updates, logged),
    ]
    if config.model.synchronized_batch_norm:
        # The generator runs forwards in every update, and backwards in its own.
        passes = (updates + 1) * config.training.gradient_accumulation_steps
        found.append(
            Reduction("batch statistics", passes * sizes.normalizations, passes * 2 * sizes.normalized_channels)
        )
    if config.training.precision == "mixed_float16":
        found.append(Reduction("whether gradients overflowed", updates, updates))
    return tuple(found)
