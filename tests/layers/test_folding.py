"""Layers frozen for inference give the same results from fewer weights, and are unchanged afterwards."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import (
    BatchNormalization,
    ConditionalBatchNormalization,
    SpectralNormalization,
)
from tests.layers.test_batch_normalization import images, make_layer


def test_function_traced_while_frozen_reads_no_variable() -> None:
    x, layer = images(), make_layer()
    expected = layer(x, training=False).numpy()
    with layer.freeze_for_inference():
        function = tf.function(lambda x: layer(x, training=False), autograph=False).get_concrete_function(
            tf.TensorSpec([None, 2, 2, 3], tf.float32)
        )
    assert function.variables == () and len(function.captured_inputs) <= 2
    for variable in layer.variables:
        variable.assign(2.0 * variable)
    np.testing.assert_allclose(function(tf.constant(x)).numpy(), expected, atol=1e-5)
    assert np.abs(layer(x, training=False).numpy() - expected).max() > 0.1


def test_freezing_ends_with_the_context_after_an_error() -> None:
    x, layer = images(), make_layer()
    with pytest.raises(RuntimeError), layer.freeze_for_inference():
        raise RuntimeError("raised in the context")
    layer.moving_mean.assign(layer.moving_mean + 1.0)
    expected = [0.5, 1.0, 2.0] * ((x - [1.1, 0.0, 5.0]) / np.sqrt(np.array([0.3, 1.5, 6.0]) + 1e-2)) + [-1.0, 0.0, 1.0]
    np.testing.assert_allclose(layer(x, training=False).numpy(), expected, atol=1e-5)


def test_nested_freezing_restores_the_outer_values() -> None:
    x, layer = images(), make_layer()
    with layer.freeze_for_inference():
        expected = layer(x).numpy()
        layer.gain.assign(3.0 * layer.gain)
        with layer.freeze_for_inference():
            assert np.abs(layer(x).numpy() - expected).max() > 0.1
        np.testing.assert_array_equal(layer(x).numpy(), expected)


def test_training_calls_are_not_frozen() -> None:
    x, layer, plain = images(), make_layer(), make_layer()
    with layer.freeze_for_inference():
        np.testing.assert_array_equal(layer(x, training=True), plain(x, training=True))
    np.testing.assert_array_equal(layer.moving_mean, plain.moving_mean)


def test_frozen_class_tables() -> None:
    layer = ConditionalBatchNormalization(2, momentum=0.75, epsilon=1e-2)
    layer.build(((None, 2, 2, 3), (None,)))
    generator = np.random.default_rng(0)
    for variable in layer.variables:
        variable.assign(generator.uniform(0.3, 2.0, variable.shape))
    x, labels = images(3), np.array([1, 0, 1], np.int32)
    scale = layer.gain.numpy() / np.sqrt(layer.moving_variance.numpy() + 1e-2)
    offset = layer.bias.numpy() - layer.moving_mean.numpy() * scale
    expected = x * scale[labels][:, None, None] + offset[labels][:, None, None]
    with layer.freeze_for_inference():
        np.testing.assert_allclose(layer((tf.constant(x), tf.constant(labels))).numpy(), expected, atol=1e-5)
        with pytest.raises(tf.errors.InvalidArgumentError):  # as without freezing, on a CPU
            layer((tf.constant(x), tf.constant([0, 2, 0])))
    np.testing.assert_allclose(layer((tf.constant(x), tf.constant(labels))).numpy(), expected, atol=1e-5)


def test_frozen_layer_in_half_precision() -> None:
    layer = BatchNormalization(dtype="mixed_bfloat16")
    layer.build((None, 2, 2, 3))
    layer.moving_mean.assign([1.0, -2.0, 3.0])
    x = tf.cast(images(), layer.compute_dtype)
    expected = layer(x)
    with layer.freeze_for_inference():
        assert layer(x).dtype == expected.dtype
        np.testing.assert_allclose(tf.cast(layer(x), tf.float32), tf.cast(expected, tf.float32), atol=0.05)


def test_frozen_wrapper_uses_other_weights_of_an_outer_scope() -> None:
    layer = SpectralNormalization(keras.layers.Conv2D(3, 3, padding="same"))
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype(np.float32)
    layer.build(x.shape)
    bias = layer.layer.bias
    before = layer(x).numpy()
    offsets = np.array([1.0, 2.0, 3.0], np.float32)
    with layer.freeze_for_inference(), keras.StatelessScope([(bias, tf.constant(offsets))]):
        np.testing.assert_allclose(layer(x), before + offsets, atol=1e-5)
    np.testing.assert_allclose(layer(x), before, atol=1e-5)


def test_nested_freezing_of_spectral_normalization() -> None:
    layer = SpectralNormalization(keras.layers.Dense(3, use_bias=False))
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    layer.build(x.shape)
    with layer.freeze_for_inference():
        expected = layer(x).numpy()
        layer.layer.kernel.assign(tf.reverse(layer.layer.kernel, [0]))
        with layer.freeze_for_inference():
            assert np.abs(layer(x).numpy() - expected).max() > 0.01
        np.testing.assert_array_equal(layer(x).numpy(), expected)
