"""Tests that the shapes of a checkpoint give the configuration from which its networks were built."""

from __future__ import annotations

import dataclasses
import functools

import pytest

from sagan_tf.config import ModelConfig
from sagan_tf.errors import UserError
from sagan_tf.networks import build_discriminator, build_generator
from tools.importing.configuration import Shapes, create_config, describe_checkpoint
from tools.importing.tf1_checkpoint import AVERAGE_SUFFIX
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
def test_shapes_give_the_configuration(changes: dict[str, object], naming: Naming) -> None:
    expected = dataclasses.replace(BASE, **changes)
    found = describe_checkpoint(shapes_of(expected, naming))
    assert found.naming == naming and not found.has_averages
    model = create_config(found, "runs/imported").model
    settings = {name: value for name, value in naming.options.items() if hasattr(expected, name)}
    assert model == dataclasses.replace(expected, **settings)


def test_blocks_of_equal_widths_make_the_resolution_ambiguous() -> None:
    config = dataclasses.replace(BASE, resolution=32, attention_resolutions=(16,))
    found = describe_checkpoint(shapes_of(config))
    assert found.model["attention_resolutions"] == (8,) and "may be at 8, 16, of equal widths" in found.ambiguity
    assert describe_checkpoint(shapes_of(BASE)).ambiguity == ""


def test_each_code_has_its_own_defaults() -> None:
    of_tfgan, of_official = (
        create_config(describe_checkpoint(shapes_of(BASE, naming)), "runs/a") for naming in NAMINGS
    )
    assert (of_tfgan.model.spectral_norm_constraint, of_tfgan.model.batch_norm_epsilon) == ("at_most", 1e-3)
    assert (of_official.model.spectral_norm_constraint, of_official.model.batch_norm_epsilon) == ("equal", 1e-5)
    assert (of_tfgan.training.global_batch_size, of_official.training.global_batch_size) == (32, 256)
    assert of_tfgan.training.run_dir == "runs/a"


def test_moving_averages_are_continued() -> None:
    shapes = shapes_of(BASE)
    averaged = shapes | {f"scope/g_snh0/dense/kernel{AVERAGE_SUFFIX}": ()}
    assert create_config(describe_checkpoint(shapes), "a").training.ema_decay == 0.0
    assert create_config(describe_checkpoint(averaged), "a").training.ema_decay == 0.999
    assert create_config(describe_checkpoint(averaged), "a").training.ema_start_step == 0
    of_discriminator = shapes | {f"scope/d_sn_linear/dense/kernel{AVERAGE_SUFFIX}": ()}
    assert not describe_checkpoint(of_discriminator).has_averages


def test_a_generator_alone() -> None:
    shapes = {name: shape for name, shape in shapes_of(BASE).items() if "/g_" in name}
    with pytest.raises(UserError, match="received no discriminator; --generator_only"):
        describe_checkpoint(shapes)
    found = describe_checkpoint(shapes, generator_only=True)
    assert set(found.scopes) == {"generator"} and create_config(found, "a").model.attention_resolutions == (32,)
    assert describe_checkpoint(shapes_of(BASE), generator_only=True) == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"g_block4/snconv2/snconv2/kernel": None}, "of 3, 4, 5, 6 blocks|widths 4, 4, 4 times a number"),
        ({"g_block2/snconv2/snconv2/kernel": None}, "expected a generator of 3, 4, 5, 6 blocks, received 1"),
        (
            {"g_block2/snconv2/snconv2/kernel": (3, 3, 16, 17)},
            "64 px with blocks of widths 8, 4, 2, 1 .* 32, 17, 8, 4",
        ),
        ({"g_snconv_last/g_snconv_last/kernel": None}, "scope/g_snconv_last.* received no such variable"),
        ({"g_block1/cbn_0/gamma": ()}, r"scope/g_block1/cbn_0/gamma .* received shape \[\]"),
        ({"g_ops/sn_conv_theta/weights": (1, 1, 9, 1)}, "attention over as many channels as a block has, received 9"),
        ({"g_ops/sn_conv_g/weights": (1, 1, 8, 3)}, r"whose values have 4 .* received 3 in the generator"),
        ({"d_ops/sn_conv_g/weights": (1, 1, 4, 1), "d_ops/sn_conv_attn/weights": None}, "in both networks"),
    ],
)
def test_unsupported_networks_are_refused(changes: dict[str, tuple[int, ...] | None], message: str) -> None:
    shapes = {**shapes_of(BASE), **{f"scope/{name}": shape for name, shape in changes.items()}}
    with pytest.raises(UserError, match=message):
        describe_checkpoint({name: shape for name, shape in shapes.items() if shape is not None})
