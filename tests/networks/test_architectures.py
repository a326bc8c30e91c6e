"""The stage tables, listed for every size, and configurations that `find_stages` rejects."""

import dataclasses
from typing import Any

import pytest

from sagan_tf.config import ModelConfig
from sagan_tf.errors import UserError
from sagan_tf.networks.architectures import ARCHITECTURES, Stages, find_stages

# (type of blocks or architecture, image size) -> for each block: size of the feature map after it, and its channels
# divided by base_channels.
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
    ("sngan", 64): [(32, 1), (16, 2), (8, 4), (4, 8), (2, 16)],
    ("residual", 128): [(64, 1), (32, 2), (16, 4), (8, 8), (4, 16), (4, 16)],
    ("residual", 256): [(128, 1), (64, 2), (32, 4), (16, 8), (8, 8), (4, 16), (4, 16)],
    ("convolutional", 32): [(16, 1), (8, 2), (4, 4)],
    ("convolutional", 64): [(32, 1), (16, 2), (8, 4), (4, 8)],
    ("convolutional", 128): [(64, 1), (32, 2), (16, 4), (8, 8), (4, 16)],
    ("convolutional", 256): [(128, 1), (64, 2), (32, 4), (16, 8), (8, 8), (4, 16)],
}
INITIAL = {("residual", 32): 4, ("convolutional", 32): 8}  # every other size: 16

SAGAN: dict[str, Any] = {"resolution": 32, "attention_resolutions": ()}
SNGAN: dict[str, Any] = {"architecture": "sngan", "attention_resolutions": ()}
DCGAN: dict[str, Any] = SAGAN | {"architecture": "dcgan", "generator_spectral_norm": False}

every_size = pytest.mark.parametrize("resolution", [32, 64, 128, 256])
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


def plain_config(**options: Any) -> ModelConfig:
    """Return a configuration that every architecture supports."""
    return ModelConfig(**{"attention_resolutions": (), "generator_spectral_norm": False, **options})


@every_architecture
@every_size
def test_stages(architecture: str, resolution: int) -> None:
    stages = find_stages(plain_config(architecture=architecture, resolution=resolution))
    key = (ARCHITECTURES[architecture].blocks, resolution)
    assert stages.initial == INITIAL.get(key, 16)
    assert list(zip(stages.compute_generator_resolutions(), stages.generator, strict=True)) == GENERATORS[key]
    sizes = stages.compute_discriminator_resolutions(resolution)
    expected = DISCRIMINATORS.get((architecture, resolution), DISCRIMINATORS[key])
    assert list(zip(sizes, stages.discriminator, strict=True)) == expected


def test_sizes_follow_downsampling() -> None:
    stages = Stages(4, (1, 1), (1, 2, 2), (True, False, True))
    assert stages.compute_generator_resolutions() == (8, 16)
    assert stages.compute_discriminator_resolutions(16) == (8, 8, 4)


@pytest.mark.parametrize(
    ("options", "name", "received"),
    [
        ({"architecture": "biggan"}, "architecture", "'biggan'"),
        ({"resolution": 100}, "resolution", "100"),
        ({"attention_resolutions": (48,)}, "attention_resolutions", "48"),
        ({"attention_resolutions": (128,)}, "attention_resolutions", "128"),
        ({"generator_attention_resolutions": (4,)}, "attention_resolutions", "generator"),
        (SNGAN | {"generator_spectral_norm": False, "attention_resolutions": (32,)}, "attention_resolutions", "32,32"),
        (SNGAN | {"generator_attention_resolutions": (32,)}, "generator_attention_resolutions", "32"),
        (SNGAN, "generator_spectral_norm", "true"),
        (SAGAN | {"generator_widths": (8, 4, 2)}, "generator_widths", "8,4,2"),
        (SAGAN | {"generator_widths": (8, 4, 2, 0)}, "generator_widths", "8,4,2,0"),
        (SAGAN | {"generator_widths": (8, 4, -2, 1)}, "generator_widths", "8,4,-2,1"),
        (SAGAN | {"discriminator_widths": (1, 2, 4)}, "discriminator_widths", "1,2,4"),
        (SAGAN | {"discriminator_widths": (1, 2, 4, 0)}, "discriminator_widths", "1,2,4,0"),
        (SAGAN | {"discriminator_downsample": (True,) * 3}, "discriminator_downsample", "true,true,true"),
        (
            SAGAN | {"discriminator_widths": (1, 2), "discriminator_downsample": (True,) * 3},
            "discriminator_widths",
            "1,2",
        ),
        (
            SAGAN | {"discriminator_widths": (1,) * 5, "discriminator_downsample": (True,) * 5},
            "discriminator_downsample",
            "true,true,true,true,true",
        ),
        (DCGAN | {"discriminator_widths": (1, 2)}, "discriminator_widths", "1,2"),
        (DCGAN | {"discriminator_downsample": (True, True, False)}, "discriminator_downsample", "false"),
    ],
)
def test_invalid_configurations(options: dict[str, Any], name: str, received: str) -> None:
    with pytest.raises(UserError) as caught:
        find_stages(ModelConfig(**options))
    assert str(caught.value).startswith(f"{name}: ") and received in str(caught.value) and "\n" not in str(caught.value)


def test_configured_stages() -> None:
    table = find_stages(plain_config(resolution=32))
    assert find_stages(plain_config(resolution=32, generator_widths=(8, 4, 2, 1))) == dataclasses.replace(
        table, initial=8, generator=(4, 2, 1)
    )
    assert find_stages(plain_config(resolution=32, discriminator_widths=(1, 2, 3, 4))).discriminator == (1, 2, 3, 4)
    deeper = find_stages(
        plain_config(resolution=32, discriminator_widths=(1, 2, 4), discriminator_downsample=(True,) * 3)
    )
    assert deeper.compute_discriminator_resolutions(32) == (16, 8, 4) and deeper.discriminator == (1, 2, 4)
    # Attention is checked against the new feature maps.
    downsample: dict[str, Any] = {"resolution": 32, "discriminator_downsample": (True, True, True, False)}
    find_stages(ModelConfig(**downsample, attention_resolutions=(16,), discriminator_attention_resolutions=(4,)))
    with pytest.raises(UserError, match=r"discriminator .*\(16, 8, 4\).* 32"):
        find_stages(ModelConfig(**downsample, attention_resolutions=(32,)))


def test_attention_resolution_of_one_network() -> None:
    last_of_generator = ModelConfig(attention_resolutions=(128,), discriminator_attention_resolutions=())
    last_of_discriminator = ModelConfig(attention_resolutions=(4,), generator_attention_resolutions=())
    assert find_stages(last_of_generator) == find_stages(last_of_discriminator) == find_stages(ModelConfig())
