"""The stage tables, written out size by size, and what `find_stages` refuses."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from sagan_tf.config import ModelConfig
from sagan_tf.errors import UserError
from sagan_tf.networks.architectures import ARCHITECTURES, Stages, find_stages

# (kind of blocks, image size) -> block by block: size of the feature map after it, channels / base_channels.
GENERATORS = {
    ("residual", 32): [(8, 4), (16, 4), (32, 4)],
    ("residual", 64): [(8, 8), (16, 4), (32, 2), (64, 1)],
    ("residual", 128): [(8, 16), (16, 8), (32, 4), (64, 2), (128, 1)],
    ("residual", 256): [(8, 16), (16, 8), (32, 8), (64, 4), (128, 2), (256, 1)],
    ("convolutional", 32): [(8, 4), (16, 2), (32, 1)],
    ("convolutional", 64): [(8, 8), (16, 4), (32, 2), (64, 1)],
    ("convolutional", 128): [(8, 16), (16, 8), (32, 4), (64, 2), (128, 1)],
    ("convolutional", 256): [(8, 16), (16, 8), (32, 8), (64, 4), (128, 2), (256, 1)],
}
DISCRIMINATORS = {
    ("residual", 32): [(16, 2), (8, 2), (8, 2), (8, 2)],
    ("residual", 64): [(32, 1), (16, 2), (8, 4), (4, 8), (4, 16)],
    ("residual", 128): [(64, 1), (32, 2), (16, 4), (8, 8), (4, 16), (4, 16)],
    ("residual", 256): [(128, 1), (64, 2), (32, 4), (16, 8), (8, 8), (4, 16), (4, 16)],
    ("convolutional", 32): [(16, 1), (8, 2), (4, 4)],
    ("convolutional", 64): [(32, 1), (16, 2), (8, 4), (4, 8)],
    ("convolutional", 128): [(64, 1), (32, 2), (16, 4), (8, 8), (4, 16)],
    ("convolutional", 256): [(128, 1), (64, 2), (32, 4), (16, 8), (8, 8), (4, 16)],
}
INITIAL = {("residual", 32): 4, ("convolutional", 32): 8}  # every other size: 16

every_size = pytest.mark.parametrize("resolution", [32, 64, 128, 256])
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


def plain(**options: Any) -> ModelConfig:
    """A configuration that every architecture takes."""
    return ModelConfig(**{"attention_resolutions": (), "generator_spectral_norm": False, **options})


@every_architecture
@every_size
def test_stages(architecture: str, resolution: int) -> None:
    stages = find_stages(plain(architecture=architecture, resolution=resolution))
    key = (ARCHITECTURES[architecture].blocks, resolution)
    assert stages.initial == INITIAL.get(key, 16)
    assert list(zip(stages.generator_resolutions(), stages.generator, strict=True)) == GENERATORS[key]
    sizes = stages.discriminator_resolutions(resolution)
    assert list(zip(sizes, stages.discriminator, strict=True)) == DISCRIMINATORS[key]


def test_architectures() -> None:
    assert {name: (one.blocks, one.attention) for name, one in ARCHITECTURES.items()} == {
        "sagan": ("residual", True),
        "sngan": ("residual", False),
        "dcgan": ("convolutional", True),
    }


def test_sizes_follow_downsampling() -> None:
    stages = Stages(4, (1, 1), (1, 2, 2), (True, False, True))
    assert stages.generator_resolutions() == (8, 16)
    assert stages.discriminator_resolutions(16) == (8, 8, 4)


@pytest.mark.parametrize("attention", [(8,), (16,), (32,), (64,), (64, 8)])
def test_the_papers_attention_study_fits(attention: tuple[int, ...]) -> None:
    stages = find_stages(ModelConfig(attention_resolutions=attention))
    assert set(attention) <= set(stages.generator_resolutions()) & set(stages.discriminator_resolutions(128))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "biggan"}, "architecture: expected one of sagan, sngan, dcgan, received 'biggan'"),
        ({"resolution": 100}, "resolution: expected one of 32, 64, 128, 256 for sagan, received 100"),
        (
            {"attention_resolutions": (48,)},
            "attention_resolutions: expected sizes that the generator has (8, 16, 32, 64, 128), received 48; "
            "generator_attention_resolutions sets the generator's alone",
        ),
        (
            {"attention_resolutions": (128,)},
            "attention_resolutions: expected sizes that the discriminator has (64, 32, 16, 8, 4), received 128; "
            "discriminator_attention_resolutions sets the discriminator's alone",
        ),
        ({"generator_attention_resolutions": (4,)}, "sizes that the generator has (8, 16, 32, 64, 128), received 4"),
        (
            {"architecture": "sngan", "generator_spectral_norm": False, "attention_resolutions": (32,)},
            "attention_resolutions: expected none (--attention_resolutions=) for architecture sngan, received 32,32; "
            "a residual network with attention is architecture sagan",
        ),
        (
            {"architecture": "sngan", "attention_resolutions": (), "generator_attention_resolutions": (32,)},
            "generator_attention_resolutions: expected none (--generator_attention_resolutions=) for architecture",
        ),
        (
            {"architecture": "sngan", "attention_resolutions": ()},
            "generator_spectral_norm: expected false for architecture sngan, received true; a residual network with "
            "spectral normalisation in the generator is architecture sagan",
        ),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        find_stages(ModelConfig(**options))


def test_stages_that_the_configuration_sets() -> None:
    table = find_stages(plain(resolution=32))
    assert find_stages(plain(resolution=32, generator_widths=(8, 4, 2, 1))) == dataclasses.replace(
        table, initial=8, generator=(4, 2, 1)
    )
    assert find_stages(plain(resolution=32, discriminator_widths=(1, 2, 3, 4))).discriminator == (1, 2, 3, 4)
    own = find_stages(plain(resolution=32, discriminator_widths=(1, 2, 4), discriminator_downsample=(True,) * 3))
    assert own.discriminator_resolutions(32) == (16, 8, 4) and own.discriminator == (1, 2, 4)
    # Attention is checked against the new feature maps.
    downsample = {"resolution": 32, "discriminator_downsample": (True, True, True, False)}
    find_stages(ModelConfig(**downsample, attention_resolutions=(16,), discriminator_attention_resolutions=(4,)))
    with pytest.raises(UserError, match=r"discriminator has \(16, 8, 4\), received 32"):
        find_stages(ModelConfig(**downsample, attention_resolutions=(32,)))


SAGAN, DCGAN = {"resolution": 32}, {"resolution": 32, "architecture": "dcgan"}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (SAGAN | {"generator_widths": (8, 4, 2)}, ("generator_widths", "sagan at 32 px", "8,4,2")),
        (SAGAN | {"generator_widths": (8, 4, 2, 0)}, ("generator_widths", "4 numbers", "8,4,2,0")),
        (SAGAN | {"generator_widths": (8, 4, -2, 1)}, ("generator_widths", "4 numbers", "8,4,-2,1")),
        (SAGAN | {"discriminator_widths": (1, 2, 4)}, ("discriminator_widths", "4 numbers", "1,2,4")),
        (SAGAN | {"discriminator_widths": (1, 2, 4, 0)}, ("discriminator_widths", "4 numbers", "1,2,4,0")),
        (SAGAN | {"discriminator_downsample": (True,) * 3}, ("discriminator_downsample", "4 values", "true,true,true")),
        (SAGAN | {"discriminator_downsample": (True,) * 5}, ("discriminator_downsample", "4 values", "true,true")),
        (
            SAGAN | {"discriminator_widths": (1, 2), "discriminator_downsample": (True,) * 3},
            ("discriminator_widths", "3 numbers", "1,2"),
        ),
        (
            SAGAN | {"discriminator_widths": (1,) * 5, "discriminator_downsample": (True,) * 5},
            ("discriminator_downsample", "at most 4", "true,true,true,true,true"),
        ),
        (DCGAN | {"discriminator_widths": (1, 2)}, ("discriminator_widths", "3 numbers", "dcgan at 32 px", "1,2")),
        (DCGAN | {"discriminator_downsample": (True, True, False)}, ("discriminator_downsample", "dcgan", "false")),
    ],
)
def test_stages_that_do_not_fit(options: dict[str, Any], names: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        find_stages(plain(**options))
    message = str(caught.value)
    assert message.startswith(f"{names[0]}: ") and "\n" not in message
    assert all(name in message for name in names), message


def test_a_size_for_one_network_alone() -> None:
    last_of_generator = ModelConfig(attention_resolutions=(128,), discriminator_attention_resolutions=())
    last_of_discriminator = ModelConfig(attention_resolutions=(4,), generator_attention_resolutions=())
    assert find_stages(last_of_generator) == find_stages(last_of_discriminator) == find_stages(ModelConfig())
