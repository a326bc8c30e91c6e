"""The control block of the attention study: its outputs and its number of parameters."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import SelfAttention2D, SpectralNormalization
from sagan_tf.layers.attention_forms import ATTENTION_FORMS
from sagan_tf.networks.parameter_matched_block import ParameterMatchedBlock, choose_matched_shape
from tests.networks.small_networks import leaves, stir
from tests.networks.test_residual_blocks import features

every_form = pytest.mark.parametrize("form", ATTENTION_FORMS)


def count_parameters(layer: Any, channels: int) -> int:
    layer.build((None, 4, 4, channels))
    return sum(int(np.prod(variable.shape)) for variable in layer.trainable_variables)


@every_form
@pytest.mark.parametrize("channels", [8, 32, 256])
def test_count_attention_parameters(form: str, channels: int) -> None:
    assert ATTENTION_FORMS[form].count_parameters(channels) == count_parameters(SelfAttention2D(form), channels)


def test_widths_of_the_attention_forms() -> None:
    counts = {form: widths.count_parameters(16) for form, widths in ATTENTION_FORMS.items()}
    assert counts == {"pooled": 321, "paper": 129, "full": 321}


@every_form
@pytest.mark.parametrize("channels", [8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024])
def test_block_is_within_five_percent_of_attention(form: str, channels: int) -> None:
    count = count_parameters(ParameterMatchedBlock(channels, form), channels)
    assert abs(count / ATTENTION_FORMS[form].count_parameters(channels) - 1.0) <= 0.05


@every_form
def test_wide_blocks_have_two_3x3_convolutions(form: str) -> None:
    """At the widths of the paper's study (base 64: 64 to 1024 channels) both convolutions are 3x3."""
    shapes = {channels: choose_matched_shape(channels, form)[1] for channels in (256, 512, 1024)}
    assert set(shapes.values()) == {(3, 3)}


@pytest.mark.parametrize("spectral_norm", [None, {}])
def test_outputs_equal_elementary_operations(spectral_norm: dict[str, Any] | None) -> None:
    x = tf.constant(features(16))
    block = ParameterMatchedBlock(16, spectral_norm=spectral_norm)
    block.build(x.shape)
    stir(block)
    y = x
    for _, layer in leaves(block):
        is_wrapped = isinstance(layer, SpectralNormalization)
        assert is_wrapped == (spectral_norm is not None)
        kernel = layer.layer.kernel.value / layer.sigma() if is_wrapped else layer.kernel.value
        y = tf.nn.conv2d(tf.nn.relu(y), kernel, 1, "SAME")
    np.testing.assert_allclose(block(x).numpy(), (x + y).numpy(), rtol=1e-4, atol=1e-4)
    assert block.compute_output_shape(x.shape) == x.shape
