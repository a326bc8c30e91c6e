"""Tests that the shapes of a checkpoint give the configuration from which its networks were built."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pytest

from sagan_tf.config import ModelConfig
from sagan_tf.errors import UserError
from sagan_tf.networks import build_discriminator, build_generator
from tools.importing.configuration import Shapes, create_config, describe_checkpoint
from tools.importing.tfgan_names import NAMINGS, Naming

TFGAN, OFFICIAL = NAMINGS
BASE = ModelConfig(resolution=64, num_classes=3, base_channels=4, attention_resolutions=(32,))


@functools.cache
def variables_of(config: ModelConfig) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return network, path and shape of every variable."""
    networks = {"generator": build_generator(config), "discriminator": build_discriminator(config)}
    return [
        (name, variable.path, tuple(variable.shape)) for name, model in networks.items() for variable in model.variables
    ]


def shapes_of(config: ModelConfig, naming: Naming = TFGAN) -> Shapes:
    """Return the shapes in a checkpoint of the networks."""
    return {naming.translate(network, path, "scope/"): shape for network, path, shape in variables_of(config)}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"resolution": 32, "attention_resolutions": (8,), "image_channels": 1, "latent_dim": 5},
        {"resolution": 128, "base_channels": 2, "num_classes": 1, "attention_resolutions": (64,)},
        {"attention_form": "paper", "base_channels": 8},
        {"attention_form": "full"},
        {"discriminator_base_channels": 6},
        {"attention_resolutions": (16,), "discriminator_attention_resolutions": (32,)},
        {"attention_resolutions": (), "discriminator_attention_resolutions": (16,)},
        {"attention_resolutions": ()},
    ],
)
@pytest.mark.parametrize("naming", NAMINGS, ids=lambda naming: naming.title)
def test_shapes_give_the_configuration(changes: dict[str, Any], naming: Naming) -> None:
    expected = dataclasses.replace(BASE, **changes)
    found = describe_checkpoint(shapes_of(expected, naming))
    assert found.naming == naming and not found.has_averages
    model = create_config(found, "runs/imported").model
    settings = {name: value for name, value in naming.options.items() if hasattr(expected, name)}
    assert model == dataclasses.replace(expected, **settings)


def test_blocks_of_equal_widths_make_the_resolution_ambiguous() -> None:
    config = dataclasses.replace(BASE, resolution=32, attention_resolutions=(16,))
    found = describe_checkpoint(shapes_of(config))
    assert found.model["attention_resolutions"] == (8,) and "8, 16" in found.ambiguity
    assert describe_checkpoint(shapes_of(BASE)).ambiguity == ""


def test_a_generator_alone() -> None:
    shapes = {name: shape for name, shape in shapes_of(BASE).items() if "/g_" in name}
    with pytest.raises(UserError, match="received no discriminator; --generator_only"):
        describe_checkpoint(shapes)
    found = describe_checkpoint(shapes, generator_only=True)
    assert set(found.scopes) == {"generator"} and create_config(found, "a").model.attention_resolutions == (32,)
    assert describe_checkpoint(shapes_of(BASE), generator_only=True) == found


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"g_block2/snconv2/snconv2/kernel": None}, "received 1"),
        ({"g_block2/snconv2/snconv2/kernel": (3, 3, 16, 17)}, "17"),
        ({"g_snconv_last/g_snconv_last/kernel": None}, "scope/g_snconv_last"),
        ({"g_block1/cbn_0/gamma": ()}, "scope/g_block1/cbn_0/gamma"),
        ({"g_ops/sn_conv_theta/weights": (1, 1, 9, 1)}, "received 9"),
        ({"g_ops/sn_conv_g/weights": (1, 1, 8, 3)}, "received 3 in the generator"),
        ({"d_ops/sn_conv_g/weights": (1, 1, 4, 1), "d_ops/sn_conv_attn/weights": None}, "in both networks"),
    ],
)
def test_unsupported_networks_are_refused(changes: dict[str, tuple[int, ...] | None], named: str) -> None:
    shapes = {**shapes_of(BASE), **{f"scope/{name}": shape for name, shape in changes.items()}}
    with pytest.raises(UserError, match=named):
        describe_checkpoint({name: shape for name, shape in shapes.items() if shape is not None})
