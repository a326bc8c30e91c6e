"""All-reduces between the replicas of a run in a step: their sizes and numbers of messages."""

from __future__ import annotations

from collections.abc import Sequence

from sagan_tf.config import Config
from sagan_tf.distribution.strategy import create_communication_options
from sagan_tf.training.steps import DISCRIMINATOR_METRICS, GENERATOR_METRICS
from tools.scaling_model.communication import Reduction
from tools.scaling_model.step import NetworkSizes

_FLOAT32_BYTES = 4


def list_reductions(sizes: NetworkSizes, config: Config, bytes_per_pack: int | None = None) -> tuple[Reduction, ...]:
    """List everything that is all-reduced in a step.

    The GPUs of one worker send the gradients of an update as one message, and several workers send them in packs. The
    moving means and variances are one message at the end of the generator's update. u, sigma and the EMA generator are
    never sent to other replicas, since every replica computes the same values.

    Args:
        sizes: Sizes of the networks.
        config: Configuration of the run.
        bytes_per_pack: Size as in `tf.distribute.experimental.CommunicationOptions`; None: the size that training on
            several workers with GPUs sets for `--collectives`.

    Returns:
        The all-reduces by kind.
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
    kinds = [
        Reduction("gradients of the discriminator", repeats, repeats * packs, repeats * sizes.discriminator),
        Reduction("gradients of the generator", 1, generator_packs, sizes.generator),
        Reduction("moving means and variances", statistics, statistics, 2 * sizes.normalized_channels),
        Reduction("what is logged", updates, updates, logged),
    ]
    if config.model.synchronized_batch_norm:
        # The generator runs a forward pass in every update, and a backward pass in its own update.
        passes = (updates + 1) * config.training.gradient_accumulation_steps
        messages = passes * sizes.normalizations
        kinds.append(Reduction("batch statistics", messages, messages, passes * 2 * sizes.normalized_channels))
    if config.training.precision == "mixed_float16":
        kinds.append(Reduction("whether gradients overflowed", updates, updates, updates))
    return tuple(kinds)


def pack_gradients(variables: Sequence[int], bytes_per_pack: int) -> list[int]:
    """Divide the gradients of an update into messages, as TensorFlow does.

    A pack takes whole gradients until it is larger than `bytes_per_pack`. The last variables come first, since their
    gradients are computed first: a pack can be sent while later gradients are computed.

    Args:
        variables: Number of values of each variable, in the order in which the optimizer takes them.
        bytes_per_pack: Size of a pack in bytes; 0: one pack.

    Returns:
        Number of values of each pack, in the order in which the packs are sent.
    """
    if not bytes_per_pack:
        return [sum(variables)]
    packs = [0]
    for size in reversed(variables):
        if packs[-1] * _FLOAT32_BYTES > bytes_per_pack:
            packs.append(0)
        packs[-1] += size
    return packs
