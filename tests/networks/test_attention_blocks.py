"""Blocks at attention resolutions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from sagan_tf.layers import SelfAttention2D, SpectralNormalization
from sagan_tf.layers.attention_forms import ATTENTION_FORMS
from sagan_tf.networks import build_discriminator, build_generator
from sagan_tf.networks.attention_blocks import apply_attention_block
from sagan_tf.networks.blocks import get_spectral_norm_options
from sagan_tf.networks.parameter_matched_block import ParameterMatchedBlock
from tests.networks.small_networks import leaves, small_config

BLOCKS = {"self_attention": SelfAttention2D, "residual": ParameterMatchedBlock}
every_block = pytest.mark.parametrize("name", BLOCKS)


def apply_block(features: Any, name: str, spectral_norm: Any, **options: Any) -> tuple[keras.layers.Layer, Any]:
    """Return the layer and its symbolic output."""
    config = small_config(attention_block=name, **options)
    outputs = apply_attention_block(config, features, spectral_norm, "attention_8")
    return keras.Model(features, outputs).get_layer("attention_8"), outputs


@every_block
@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_block_follows_the_configuration(name: str, form: str) -> None:
    features = keras.Input((8, 8, 64))
    layer, outputs = apply_block(features, name, None, attention_form=form, kernel_initializer="orthogonal")
    assert (layer.form, layer.kernel_initializer, layer.spectral_norm) == (form, "orthogonal", None)
    assert outputs.shape == features.shape and type(layer) is BLOCKS[name]


@every_block
def test_kernels_of_attention_are_always_divided_by_sigma(name: str) -> None:
    options = {"power_iterations": 2, "epsilon": 1e-3, "constraint": "at_most"}
    layer, _ = apply_block(keras.Input((8, 8, 64)), name, options)
    assert options["constraint"] == "at_most"
    wrappers = [wrapper for _, wrapper in leaves(layer)]
    assert all(isinstance(wrapper, SpectralNormalization) for wrapper in wrappers)
    found = {(wrapper.power_iterations, wrapper.epsilon, wrapper.constraint) for wrapper in wrappers}
    assert found == {(2, 1e-3, "equal")}


def test_options_of_spectral_normalization() -> None:
    options = {"power_iterations": 3, "epsilon": 1e-4, "constraint": "at_most"}
    config = small_config(**{f"spectral_norm_{name}": value for name, value in options.items()})
    assert get_spectral_norm_options(config) == options


@pytest.mark.parametrize("form", ATTENTION_FORMS)
@pytest.mark.parametrize("build", [build_generator, build_discriminator])
def test_parameter_matched_block_has_as_many_parameters_in_the_networks(build: Any, form: str) -> None:
    def count(name: str) -> int:
        network = build(small_config(base_channels=16, attention_form=form, attention_block=name))
        layer = network.get_layer("attention_16")
        return sum(int(np.prod(variable.shape)) for variable in layer.trainable_variables)

    assert abs(count("residual") / count("self_attention") - 1.0) <= 0.05
