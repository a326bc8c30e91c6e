"""Blocks at attention resolutions."""

from typing import Any

import keras
import pytest

from sagan_tf.layers import SelfAttention2D, SpectralNormalization
from sagan_tf.layers.attention_forms import ATTENTION_FORMS
from sagan_tf.networks.attention_blocks import apply_attention_block
from sagan_tf.networks.parameter_matched_block import ParameterMatchedBlock
from tests.networks.small_networks import leaves, small_config

BLOCKS: dict[str, Any] = {"self_attention": SelfAttention2D, "residual": ParameterMatchedBlock}
every_block = pytest.mark.parametrize("name", BLOCKS)


def apply_block(features: Any, name: str, spectral_norm: Any, **options: Any) -> tuple[Any, Any]:
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
