"""Stage tables of the networks: the width of each stage and the size of its feature map.

Add an architecture as one entry of `ARCHITECTURES`. The tables of the residual networks are those of SNGAN-projection,
the official SAGAN code (128 px) and PyTorch-StudioGAN (other sizes; 256 px also BigGAN-PyTorch). At 64 px, `sngan` is
the network of SNGAN-projection's code. This module does not import TensorFlow, so that a configuration can be validated
quickly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sagan_tf.config import ModelConfig, Resolutions
from sagan_tf.config.option import check_registered
from sagan_tf.errors import UserError

INITIAL_RESOLUTION = 4
MIN_LAST_RESOLUTION = 2
"""Minimum size of the discriminator's last feature map, in pixels, so that attention can pool keys everywhere."""


@dataclasses.dataclass(frozen=True)
class Stages:
    """Stages of the networks for one image size; widths are multiples of the base channels.

    Attributes:
        initial: Width of the generator's first feature map, which has 4 by 4 pixels.
        generator: Width after each generator block; every block doubles the size of the feature map.
        discriminator: Width after each discriminator block.
        downsample: Whether each discriminator block halves the size of the feature map.
    """

    initial: int
    generator: tuple[int, ...]
    discriminator: tuple[int, ...]
    downsample: tuple[bool, ...]

    def compute_generator_resolutions(self) -> Resolutions:
        """Return the size of the feature map after each generator block, in pixels."""
        return tuple(INITIAL_RESOLUTION * 2 ** (index + 1) for index in range(len(self.generator)))

    def compute_discriminator_resolutions(self, resolution: int) -> Resolutions:
        """Return the size of the feature map after each discriminator block.

        Args:
            resolution: Image size, in pixels.
        """
        sizes = []
        for halves in self.downsample:
            resolution = resolution // 2 if halves else resolution
            sizes.append(resolution)
        return tuple(sizes)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A family of networks.

    Attributes:
        blocks: Kind of the blocks, `residual` or `convolutional`: a key of the tables `_BLOCKS` of both networks.
        stages: Stages by image size in pixels.
        attention: Whether attention and spectral normalization of the generator are allowed. A name always denotes the
            same published system, and `sngan` has neither of them.
        can_keep_size: Whether a discriminator block can leave the size of the feature map unchanged.
        widens_in_second_convolution: Whether the second of the two 3x3 convolutions of a residual discriminator block
            changes the number of channels, as in the code of SNGAN-projection. In the authors' code of SAGAN, and in
            the first block of both, the first does.
    """

    blocks: str
    stages: Mapping[int, Stages]
    attention: bool = True
    can_keep_size: bool = True
    widens_in_second_convolution: bool = False


_RESIDUAL_STAGES = {
    # The discriminator is half as wide as the generator, as in SNGAN on CIFAR-10 and in PyTorch-StudioGAN.
    32: Stages(4, (4, 4, 4), (2, 2, 2, 2), (True, True, False, False)),
    64: Stages(16, (8, 4, 2, 1), (1, 2, 4, 8, 16), (True,) * 4 + (False,)),
    128: Stages(16, (16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16), (True,) * 5 + (False,)),
    256: Stages(16, (16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16, 16), (True,) * 6 + (False,)),
}
_SNGAN_STAGES = _RESIDUAL_STAGES | {64: Stages(16, (8, 4, 2, 1), (1, 2, 4, 8, 16), (True,) * 5)}
_CONVOLUTIONAL_STAGES = {
    32: Stages(8, (4, 2, 1), (1, 2, 4), (True,) * 3),
    64: Stages(16, (8, 4, 2, 1), (1, 2, 4, 8), (True,) * 4),
    128: Stages(16, (16, 8, 4, 2, 1), (1, 2, 4, 8, 16), (True,) * 5),
    256: Stages(16, (16, 8, 8, 4, 2, 1), (1, 2, 4, 8, 8, 16), (True,) * 6),
}


class MissingFeatureMapError(UserError):
    """An attention resolution that is not the size of a feature map.

    Args:
        network: Name of the network, such as `generator`.
        size: The resolution, in pixels.
        available: Sizes of the feature maps of the network.
    """

    def __init__(self, network: str, size: int, available: Resolutions) -> None:
        self.network, self.size, self.available = network, size, tuple(dict.fromkeys(available))
        super().__init__(
            f"attention_resolutions: expected sizes of {network} feature maps ({_format_sizes(self.available)}), "
            f"received {size}; --{network}_attention_resolutions sets those of the {network} only"
        )

    def describe(self) -> str:
        """Return the reason without advice, as a clause."""
        return (
            f"the {self.network} has no feature map of {self.size} px for attention, only "
            f"{_format_sizes(self.available)}"
        )


ARCHITECTURES: dict[str, Architecture] = {
    "sagan": Architecture("residual", _RESIDUAL_STAGES),
    "sngan": Architecture("residual", _SNGAN_STAGES, attention=False, widens_in_second_convolution=True),
    "dcgan": Architecture("convolutional", _CONVOLUTIONAL_STAGES, can_keep_size=False),
}


def find_stages(config: ModelConfig) -> Stages:
    """Return the stages of a model.

    Raises:
        MissingFeatureMapError: If an attention resolution is not the size of a feature map.
        UserError: If the architecture or image size is unknown, the widths or the downsampling do not match it, or
            `latent_dim` cannot be split.
    """
    check_registered("architecture", config.architecture, ARCHITECTURES)
    architecture = ARCHITECTURES[config.architecture]
    if config.resolution not in architecture.stages:
        sizes = ", ".join(map(str, architecture.stages))
        raise UserError(f"resolution: expected one of {sizes} for {config.architecture}, received {config.resolution}")
    if not architecture.attention:
        _check_without_attention(config)
    stages = _override_stages(architecture.stages[config.resolution], config)
    _check_latents(config, 1 + len(stages.generator))
    _check_attention("generator", config.generator_attention, stages.compute_generator_resolutions())
    discriminator_sizes = stages.compute_discriminator_resolutions(config.resolution)
    _check_attention("discriminator", config.discriminator_attention, discriminator_sizes)
    return stages


def count_used_classes(config: ModelConfig) -> int:
    """Return the number of classes that the networks use.

    It is 0 with `conditioning="none"`.

    Raises:
        ValueError: If `num_classes` is 0 and the conditioning needs classes.
    """
    if not config.uses_classes:
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


def _override_stages(table: Stages, config: ModelConfig) -> Stages:
    """Replace the entries of a stage table that the configuration sets."""
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
                f"number of blocks, set --discriminator_widths), received {_format_values(downsample)}"
            )
    initial, *generator = config.generator_widths or (table.initial, *table.generator)
    stages = Stages(initial, tuple(generator), widths or table.discriminator, downsample or table.downsample)
    _check_downsampling(stages, config)
    return stages


def _check_widths(option: str, widths: tuple[int, ...], length: int, content: str) -> None:
    if widths and (len(widths) != length or min(widths) < 1):
        raise UserError(f"{option}: expected {length} numbers above 0, {content}, received {_format_values(widths)}")


def _check_downsampling(stages: Stages, config: ModelConfig) -> None:
    received = _format_values(stages.downsample)
    if not ARCHITECTURES[config.architecture].can_keep_size and not all(stages.downsample):
        raise UserError(
            f"discriminator_downsample: expected only true for architecture {config.architecture}, whose blocks all "
            f"halve the feature map, received {received}"
        )
    if stages.compute_discriminator_resolutions(config.resolution)[-1] < MIN_LAST_RESOLUTION:
        max_blocks = (config.resolution // MIN_LAST_RESOLUTION).bit_length() - 1
        raise UserError(
            f"discriminator_downsample: expected at most {max_blocks} blocks that halve an image of "
            f"{config.resolution} px, received {received}"
        )


def _format_sizes(sizes: Resolutions) -> str:
    return ", ".join(map(str, sizes))


def _format_values(values: tuple[int, ...]) -> str:
    return ",".join(str(value).lower() for value in values)


def _check_attention(network: str, resolutions: Resolutions, available: Resolutions) -> None:
    # Pooled keys need at least two locations per side, which every stage has.
    for resolution in resolutions:
        if resolution not in available:
            raise MissingFeatureMapError(network, resolution, available)


def _check_without_attention(config: ModelConfig) -> None:
    if config.generator_attention or config.discriminator_attention:
        network_options = [f"{network}_attention_resolutions" for network in ("generator", "discriminator")]
        option = next((name for name in network_options if getattr(config, name)), "attention_resolutions")
        raise UserError(
            f"{option}: architecture {config.architecture} has no attention, "
            f"received {','.join(map(str, config.generator_attention + config.discriminator_attention))}; "
            f"set --{option}= (empty), or --architecture=sagan for a residual network with attention"
        )
    if config.generator_spectral_norm:
        raise UserError(
            f"generator_spectral_norm: expected false for architecture {config.architecture}, received true; set "
            "--architecture=sagan for a residual network with spectral normalization in the generator"
        )
