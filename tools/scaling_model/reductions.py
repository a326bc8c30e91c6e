"""What the replicas of a run add up among themselves in a step: how much, in how many messages."""

from __future__ import annotations

from collections.abc import Sequence

from sagan_tf.config import Config
from sagan_tf.distribution.strategy import create_communication_options
from sagan_tf.training.steps import DISCRIMINATOR_METRICS, GENERATOR_METRICS
from tools.scaling_model.communication import Reduction
from tools.scaling_model.step import NetworkSizes

_FLOAT32_BYTES = 4


def reductions(sizes: NetworkSizes, config: Config, bytes_per_pack: int | None = None) -> tuple[Reduction, ...]:
    """List everything that is all-reduced in a step.

    The GPUs of one worker send the gradients of an update as one message, and several workers in packs. The moving
    means and variances are one message at the end of the generator's update. u, sigma and the averaged generator are
    never sent to other replicas: each computes the same.

    Args:
        sizes: of the networks.
        config: of the run.
        bytes_per_pack: as in `tf.distribute.experimental.CommunicationOptions`; None: what training on several workers
            with GPUs sets for `--collectives`.
    """
    if bytes_per_pack is None:
        bytes_per_pack = create_communication_options(config.training.collectives, has_gpus=True).bytes_per_pack
    repeats = config.training.discriminator_steps_per_step
    updates = repeats + 1
    logged = repeats * len(DISCRIMINATOR_METRICS) + len(GENERATOR_METRICS)
    statistics = min(sizes.normalizations, 1)
    packs, generator_packs = (
        len(pack_gradients(variables, bytes_per_pack))
        for variables in (sizes.discriminator_variables, sizes.generator_variables)
    )
    found = [
        Reduction("gradients of the discriminator", repeats, repeats * packs, repeats * sizes.discriminator),
        Reduction("gradients of the generator", 1, generator_packs, sizes.generator),
        Reduction("moving means and variances", statistics, statistics, 2 * sizes.normalized_channels),
        Reduction("what is logged", updates, updates, logged),
    ]
    if config.model.synchronized_batch_norm:
        # The generator runs forwards in every update, and backwards in its own.
        passes = (updates + 1) * config.training.gradient_accumulation_steps
        messages = passes * sizes.normalizations
        found.append(Reduction("batch statistics", messages, messages, passes * 2 * sizes.normalized_channels))
    if config.training.precision == "mixed_float16":
        found.append(Reduction("whether gradients overflowed", updates, updates, updates))
    return tuple(found)


def pack_gradients(variables: Sequence[int], bytes_per_pack: int) -> list[int]:
    """Cut the gradients of an update into messages, as TensorFlow does.

    A pack takes whole gradients until it is larger than `bytes_per_pack`. The last variables come first, since their
    gradients are computed first: a pack can be sent while later ones are computed.

    Args:
        variables: numbers of each variable, in the order in which the optimizer takes them.
        bytes_per_pack: 0 for one pack.

    Returns:
        Numbers of each pack, in the order in which they are sent.
    """
    if not bytes_per_pack:
        return [sum(variables)]
    packs = [0]
    for size in reversed(variables):
        if packs[-1] * _FLOAT32_BYTES > bytes_per_pack:
            packs.append(0)
        packs[-1] += size
    return packs
