"""The control block of the attention study: its outputs and its number of parameters."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import SelfAttention2D, SpectralNormalization
from sagan_tf.layers.attention_forms import ATTENTION_FORMS
from sagan_tf.networks.parameter_matched_block import ParameterMatchedBlock, count_inner_channels
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


# For each number of channels: parameters of attention, inner channels and parameters of the block.
WIDE = {8: (81, 1, 80), 16: (321, 2, 320), 32: (1281, 4, 1280), 64: (5121, 8, 5120), 128: (20481, 16, 20480),
        256: (81921, 32, 81920), 512: (327681, 64, 327680), 1024: (1310721, 128, 1310720)}  # fmt: skip
NARROW = {8: (33, 1, 80), 16: (129, 1, 160), 32: (513, 2, 640), 64: (2049, 3, 1920), 128: (8193, 6, 7680),
          256: (32769, 13, 33280), 512: (131073, 26, 133120), 1024: (524289, 51, 522240)}  # fmt: skip


@pytest.mark.parametrize(("form", "table"), [("pooled", WIDE), ("full", WIDE), ("paper", NARROW)])
def test_one_3x3_and_one_1x1_convolution_match_attention(form: str, table: dict[int, tuple[int, int, int]]) -> None:
    for channels, (attention, inner, expected) in table.items():
        block = ParameterMatchedBlock(channels, form)
        assert count_parameters(block, channels) == expected
        kernels = [tuple(variable.shape) for variable in block.trainable_variables]
        assert kernels == [(3, 3, channels, inner), (1, 1, inner, channels)]
        assert ATTENTION_FORMS[form].count_parameters(channels) == attention


def test_parameters_match_at_every_multiple_of_8() -> None:
    """The form `paper` has at most a quarter more or less, from 16 channels on."""
    for channels in range(8, 1025, 8):
        for form, widths in ATTENTION_FORMS.items():
            expected, block = widths.count_parameters(channels), 10 * channels * count_inner_channels(channels, form)
            assert block == expected - 1 if form != "paper" else channels < 16 or abs(block / expected - 1) < 0.25


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
