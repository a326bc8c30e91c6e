"""Table of the networks of a study: parameters of each setting, and its residual blocks in place of attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sagan_tf.config import ModelConfig
from sagan_tf.networks.architectures import find_stages
from sagan_tf.networks.parameter_matched_block import KERNEL_SIZES, count_inner_channels
from tools.ablations.outcomes import Outcome
from tools.ablations.plan import Plan
from tools.ablations.startups import find_first_values

_NETWORKS = ("generator", "discriminator")
_RESIDUAL = "residual"
"""Value of `--attention_block` for residual blocks in place of attention."""


def make_networks_table(plan: Plan, outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Make a table of the trainable parameters of each setting, with a column of residual blocks if one has them."""
    counts = find_first_values(outcomes, "parameters")
    models = {cell.setting.name: cell.config.model for cell in plan.cells}
    blocks = {setting: "; ".join(_list_residual_blocks(model)) for setting, model in models.items()}
    rows = [["setting", *(f"parameters of the {network}" for network in _NETWORKS)]]
    for setting in models:
        numbers = [counts.get(setting, {}).get(network) for network in _NETWORKS]
        rows.append([setting, *("-" if number is None else f"{number:,}" for number in numbers)])
    if any(blocks.values()):
        rows[0].append("residual blocks: kernel, input→output channels")
        for row, text in zip(rows[1:], blocks.values(), strict=True):
            row.append(text or "-")
    return rows


def _list_residual_blocks(model: ModelConfig) -> Iterator[str]:
    """Yield the kernels of each residual block at an attention resolution, with their channels."""
    if model.attention_block != _RESIDUAL:
        return
    stages = find_stages(model)
    discriminator_sizes = stages.compute_discriminator_resolutions(model.resolution)
    networks = (
        (stages.compute_generator_resolutions(), stages.generator, model.base_channels, model.generator_attention),
        (discriminator_sizes, stages.discriminator, model.discriminator_channels, model.discriminator_attention),
    )
    for network, (sizes, widths, base, attended) in zip(_NETWORKS, networks, strict=True):
        for size in attended:
            # Several blocks may have the same size; attention follows the first of them.
            channels = widths[sizes.index(size)] * base
            inner = count_inner_channels(channels, model.attention_form)
            first, second = KERNEL_SIZES
            yield f"{network}: {first}x{first} {channels}→{inner}, {second}x{second} {inner}→{channels}"
