"""Layers whose weights are folded for inference: the same results from fewer numbers, and nothing changed for good."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import (
    BatchNormalization,
    ConditionalBatchNormalization,
    ResamplingConvolution,
    SpectralNormalization,
)
from tests.layers.test_batch_normalization import images, make


def test_folded_statistics_give_the_same_at_inference() -> None:
    x, layer = images(), make()
    before = [variable.numpy() for variable in layer.variables]
    expected = layer(x, training=False).numpy()
    with layer.folded():
        np.testing.assert_allclose(layer(x, training=False).numpy(), expected, atol=1e-5)
    for variable, value in zip(layer.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_a_function_traced_while_folded_reads_no_variable_and_keeps_its_values() -> None:
    x, layer = images(), make()
    expected = layer(x, training=False).numpy()
    with layer.folded():
        function = tf.function(lambda x: layer(x, training=False), autograph=False).get_concrete_function(
            tf.TensorSpec([None, 2, 2, 3], tf.float32)
        )
    assert function.variables == () and len(function.captured_inputs) <= 2
    for variable in layer.variables:
        variable.assign(2.0 * variable)
    np.testing.assert_allclose(function(tf.constant(x)).numpy(), expected, atol=1e-5)
    assert np.abs(layer(x, training=False).numpy() - expected).max() > 0.1


def test_folding_ends_with_its_context_also_by_an_error() -> None:
    x, layer = images(), make()
    with pytest.raises(RuntimeError), layer.folded():
        raise RuntimeError("of the caller")
    layer.moving_mean.assign(layer.moving_mean + 1.0)
    expected = [0.5, 1.0, 2.0] * ((x - [1.1, 0.0, 5.0]) / np.sqrt(np.array([0.3, 1.5, 6.0]) + 1e-2)) + [-1.0, 0.0, 1.0]
    np.testing.assert_allclose(layer(x, training=False).numpy(), expected, atol=1e-5)


def test_folding_within_folding_leaves_the_outer_one() -> None:
    x, layer = images(), make()
    with layer.folded():
        expected = layer(x).numpy()
        layer.gain.assign(3.0 * layer.gain)
        with layer.folded():
            assert np.abs(layer(x).numpy() - expected).max() > 0.1
        np.testing.assert_array_equal(layer(x).numpy(), expected)


def test_training_while_folded_is_training() -> None:
    x, layer, plain = images(), make(), make()
    with layer.folded():
        np.testing.assert_array_equal(layer(x, training=True), plain(x, training=True))
    np.testing.assert_array_equal(layer.moving_mean, plain.moving_mean)


def test_folded_tables() -> None:
    layer = ConditionalBatchNormalization(2, momentum=0.75, epsilon=1e-2)
    layer.build(((None, 2, 2, 3), (None,)))
    generator = np.random.default_rng(0)
    for variable in layer.variables:
        variable.assign(generator.uniform(0.3, 2.0, variable.shape))
    x, labels = images(3), np.array([1, 0, 1], np.int32)
    scale = layer.gain.numpy() / np.sqrt(layer.moving_variance.numpy() + 1e-2)
    offset = layer.bias.numpy() - layer.moving_mean.numpy() * scale
    expected = x * scale[labels][:, None, None] + offset[labels][:, None, None]
    with layer.folded():
        np.testing.assert_allclose(layer((tf.constant(x), tf.constant(labels))).numpy(), expected, atol=1e-5)
        with pytest.raises(tf.errors.InvalidArgumentError):  # as unfolded, on a CPU
            layer((tf.constant(x), tf.constant([0, 2, 0])))
    np.testing.assert_allclose(layer((tf.constant(x), tf.constant(labels))).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_folded_in_half_precision(dtype: str) -> None:
    layer = BatchNormalization(dtype=dtype)
    layer.build((None, 2, 2, 3))
    layer.moving_mean.assign([1.0, -2.0, 3.0])
    x = tf.cast(images(), layer.compute_dtype)
    expected = layer(x)
    with layer.folded():
        assert layer(x).dtype == expected.dtype
        np.testing.assert_allclose(tf.cast(layer(x), tf.float32), tf.cast(expected, tf.float32), atol=0.05)


def test_strided_without_resampling_is_one_convolution() -> None:
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype(np.float32)
    layer, plain = (ResamplingConvolution(3, 3, "none", form) for form in ("strided", "plain"))
    for one in (layer, plain):
        one.build(x.shape)
    layer.set_weights(plain.get_weights())
    np.testing.assert_array_equal(layer(x), plain(x))
    again = ResamplingConvolution.from_config(layer.get_config())
    assert again.form == "strided" and layer.compute_output_shape(x.shape) == (2, 4, 4, 3)
    graph = tf.function(layer, autograph=False).get_concrete_function(tf.TensorSpec(x.shape)).graph
    assert [one.type for one in graph.get_operations() if "Conv" in one.type] == ["Conv2D"]


def test_folded_hands_on_the_other_weights_of_an_outer_scope() -> None:
    layer = SpectralNormalization(keras.layers.Conv2D(3, 3, padding="same"))
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype(np.float32)
    layer.build(x.shape)
    bias = layer.layer.bias
    without = layer(x).numpy()
    with layer.folded(), keras.StatelessScope([(bias, tf.constant([1.0, 2.0, 3.0]))]):
        np.testing.assert_allclose(layer(x), without + [1.0, 2.0, 3.0], atol=1e-5)
    np.testing.assert_allclose(layer(x), without, atol=1e-5)


def test_spectral_normalisation_folded_within_folding() -> None:
    layer = SpectralNormalization(keras.layers.Dense(3, use_bias=False))
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    layer.build(x.shape)
    with layer.folded():
        expected = layer(x).numpy()
        layer.layer.kernel.assign(tf.reverse(layer.layer.kernel, [0]))
        with layer.folded():
            assert np.abs(layer(x).numpy() - expected).max() > 0.01
        np.testing.assert_array_equal(layer(x).numpy(), expected)
