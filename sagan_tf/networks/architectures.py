"""Stage tables of the networks: how wide each stage is, and at which size of feature map it works.

A new architecture is one entry of `ARCHITECTURES`. The tables of the residual networks are those of SNGAN-projection,
the official SAGAN code (128 px) and BigGAN-PyTorch / PyTorch-StudioGAN (the other sizes). This file imports no
TensorFlow, so that a configuration can be checked at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sagan_tf.config import ModelConfig, Resolutions
from sagan_tf.errors import UserError

INITIAL_RESOLUTION = 4
MIN_LAST_RESOLUTION = 2
"""Least size of the discriminator's last feature map, so that attention, which pools its keys, fits everywhere."""


@dataclasses.dataclass(frozen=True)
class Stages:
    """Widths, as multiples of a network's base channels, for one image size.

    Attributes:
        initial: channels of the generator's first, 4 by 4 feature map.
        generator: channels after each generator block; every block doubles the feature map.
        discriminator: channels after each discriminator block.
        downsample: whether each discriminator block halves the feature map.
    """

    initial: int
    generator: tuple[int, ...]
    discriminator: tuple[int, ...]
    downsample: tuple[bool, ...]

    def generator_resolutions(self) -> Resolutions:
        """Size of the feature map after each generator block."""
        return tuple(INITIAL_RESOLUTION * 2 ** (index + 1) for index in range(len(self.generator)))

    def discriminator_resolutions(self, resolution: int) -> Resolutions:
        """Size of the feature map after each discriminator block, for images of `resolution` pixels."""
        sizes = []
        for halves in self.downsample:
            resolution = resolution // 2 if halves else resolution
            sizes.append(resolution)
        return tuple(sizes)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A family of networks.

    Attributes:
        blocks: `residual` or `convolutional`.
        stages: image size -> stages.
        attention: whether attention and generator spectral normalisation belong to it. A name then always means the
            same published system: `sngan` has neither.
    """

    blocks: str
    stages: Mapping[int, Stages]
    attention: bool = True


_RESIDUAL_STAGES = {
    # A discriminator half as wide as the generator, as in SNGAN on CIFAR-10 and in PyTorch-StudioGAN.
    32: Stages(4, (4, 4, 4), (2, 2, 2, 2), (True, True, False, False)),
    64: Stages(16, (8, 4, 2, 1), (1, 2, 4, 8, 16), (True,) * 4 + (False,)),
    128: Stages(16, (16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), (True,) * 5 + (False,)),
    256: Stages(16, (16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16), (True,) * 6 + (False,)),
}
_CONVOLUTIONAL_STAGES = {
    32: Stages(8, (4, 2, 1), (1, 2, 4), (True,) * 3),
    64: Stages(16, (8, 4, 2, 1), (1, 2, 4, 8), (True,) * 4),
    128: Stages(16, (16, 8, 4, 2, 1), (1, 2, 4, 8, 16), (True,) * 5),
    256: Stages(16, (16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16), (True,) * 6),
}

ARCHITECTURES: dict[str, Architecture] = {
    "sagan": Architecture("residual", _RESIDUAL_STAGES),
    "sngan": Architecture("residual", _RESIDUAL_STAGES, attention=False),
    "dcgan": Architecture("convolutional", _CONVOLUTIONAL_STAGES),
}


def find_stages(config: ModelConfig) -> Stages:
    """Return the stages that `config` asks for.

    Raises:
        UserError: if there is no such architecture or image size, the widths or the downsampling do not fit it, an
            attention resolution isn't one of its feature maps, or the length of a latent vector cannot be split.
    """
    if config.architecture not in ARCHITECTURES:
        raise UserError(f"architecture: expected one of {', '.join(ARCHITECTURES)}, received {config.architecture!r}")
    architecture = ARCHITECTURES[config.architecture]
    if config.resolution not in architecture.stages:
        sizes = ", ".join(map(str, architecture.stages))
        raise UserError(f"resolution: expected one of {sizes} for {config.architecture}, received {config.resolution}")
    if not architecture.attention:
        _check_without_attention(config)
    stages = _replace_stages(architecture.stages[config.resolution], config)
    _check_latents(config, 1 + len(stages.generator))
    _check_attention("generator", config.generator_attention, stages.generator_resolutions())
    sizes_of_discriminator = stages.discriminator_resolutions(config.resolution)
    _check_attention("discriminator", config.discriminator_attention, sizes_of_discriminator)
    return stages


def used_classes(config: ModelConfig) -> int:
    """Classes that the networks know: 0 with `conditioning="none"`.

    Raises:
        ValueError: if `num_classes` is 0 and the conditioning needs it.
    """
    if config.conditioning == "none":
        return 0
    if config.num_classes < 1:
        raise ValueError(f"`num_classes` must be at least 1 to build the networks. Received: {config.num_classes}")
    return config.num_classes


def _check_latents(config: ModelConfig, parts: int) -> None:
    if config.latents_to_every_block and config.latent_dim % parts:
        raise UserError(
            f"latent_dim: expected a multiple of {parts} with --latents_to_every_block, one part for the first layer "
            f"and one for each of {parts - 1} blocks, received {config.latent_dim}"
        )


def _replace_stages(table: Stages, config: ModelConfig) -> Stages:
    """Replace what the configuration sets of an architecture's stage table."""
    where = f"{config.architecture} at {config.resolution} px"
    widths, downsample = config.discriminator_widths, config.discriminator_downsample
    blocks = len(table.generator)
    content = f"for the 4 x 4 feature map and each of {blocks} blocks of {where}"
    _check_widths("generator_widths", config.generator_widths, blocks + 1, content)
    if widths and downsample:
        content = "one for each value of --discriminator_downsample"
        _check_widths("discriminator_widths", widths, len(downsample), content)
    else:
        blocks = len(table.discriminator)
        content = f"one for each block of {where} (to change the number of blocks, set --discriminator_downsample)"
        _check_widths("discriminator_widths", widths, blocks, content)
        if downsample and len(downsample) != blocks:
            raise UserError(
                f"discriminator_downsample: expected {blocks} values, one for each block of {where} (to change the "
                f"number of blocks, set --discriminator_widths), received {_shown(downsample)}"
            )
    initial, *generator = config.generator_widths or (table.initial, *table.generator)
    stages = Stages(initial, tuple(generator), widths or table.discriminator, downsample or table.downsample)
    _check_downsampling(stages, config)
    return stages


def _check_widths(option: str, widths: tuple[int, ...], length: int, content: str) -> None:
    if widths and (len(widths) != length or min(widths) < 1):
        raise UserError(f"{option}: expected {length} numbers above 0, {content}, received {_shown(widths)}")


def _check_downsampling(stages: Stages, config: ModelConfig) -> None:
    received = _shown(stages.downsample)
    if ARCHITECTURES[config.architecture].blocks == "convolutional" and not all(stages.downsample):
        raise UserError(
            f"discriminator_downsample: expected only true for architecture {config.architecture}, whose blocks all "
            f"halve the feature map, received {received}"
        )
    if stages.discriminator_resolutions(config.resolution)[-1] < MIN_LAST_RESOLUTION:
        most = (config.resolution // MIN_LAST_RESOLUTION).bit_length() - 1
        raise UserError(
            f"discriminator_downsample: expected at most {most} blocks that halve an image of {config.resolution} px, "
            f"received {received}"
        )


def _shown(values: tuple[int, ...]) -> str:
    return ",".join(str(value).lower() for value in values)


def _check_attention(network: str, wanted: Resolutions, available: Resolutions) -> None:
    # Pooled keys need at least two locations a side, which every stage has.
    for resolution in wanted:
        if resolution not in available:
            sizes = ", ".join(map(str, dict.fromkeys(available)))
            raise UserError(
                f"attention_resolutions: expected sizes that the {network} has ({sizes}), received {resolution}; "
                f"{network}_attention_resolutions sets the {network}'s alone"
            )


def _check_without_attention(config: ModelConfig) -> None:
    if config.generator_attention or config.discriminator_attention:
        own = [f"{network}_attention_resolutions" for network in ("generator", "discriminator")]
        option = next((name for name in own if getattr(config, name)), "attention_resolutions")
        raise UserError(
            f"{option}: expected none (--{option}=) for architecture {config.architecture}, "
            f"received {','.join(map(str, config.generator_attention + config.discriminator_attention))}; "
            "a residual network with attention is architecture sagan"
        )
    if config.generator_spectral_norm:
        raise UserError(
            f"generator_spectral_norm: expected false for architecture {config.architecture}, received true; a "
            "residual network with spectral normalisation in the generator is architecture sagan"
        )
