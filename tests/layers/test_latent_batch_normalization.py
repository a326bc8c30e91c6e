"""Batch normalization with gamma and beta from class and latents, compared with elementary operations."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers import LatentBatchNormalization, SpectralNormalization
from tests.layers.gradients import assert_close, outputs_and_gradients
from tests.layers.replicas import run_on_replicas, two_replicas

LABELS = np.array([1, 0, 1, 1], np.int32)
EPSILON = 1e-2


def make_inputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    features = generator.normal(2.0, 3.0, (4, 2, 3, 5)).astype(np.float32)
    return features, LABELS, generator.normal(size=(4, 6)).astype(np.float32)


def make_layer(**options: Any) -> LatentBatchNormalization:
    layer = LatentBatchNormalization(2, epsilon=EPSILON, **options)
    layer.build(((None, 2, 3, 5), (None,), (None, 6)))
    generator = np.random.default_rng(2)
    for variable in layer.variables:
        variable.assign(generator.uniform(0.3, 2.0, variable.shape))
    return layer


def apply_map(layer: LatentBatchNormalization, name: str, latents: Any) -> Any:
    """Apply a map of the latents by its kernel, divided by the estimate of sigma if it is normalized."""
    dense = getattr(layer, name)
    if isinstance(dense, SpectralNormalization):
        return latents @ tf.convert_to_tensor(dense.layer.kernel) / dense.sigma()
    return latents @ tf.convert_to_tensor(dense.kernel)


@pytest.mark.parametrize("spectral_norm", [None, {}])
@pytest.mark.parametrize("training", [False, True])
def test_values_and_gradients(spectral_norm: dict[str, Any] | None, training: bool) -> None:
    layer = make_layer(spectral_norm=spectral_norm)
    features, labels, latents = make_inputs()
    tables = [layer.gain.value, layer.bias.value]
    kernels = [variable.value for variable in layer.trainable_variables if variable.name == "kernel"]
    assert len(kernels) == 2

    def normalize(x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        classes = tf.one_hot(labels, 2)
        gamma = classes @ tables[0] + apply_map(layer, "latent_gain", z)
        beta = classes @ tables[1] + apply_map(layer, "latent_bias", z)
        mean, variance = layer.moving_mean.value, layer.moving_variance.value
        if training:
            mean = tf.reduce_mean(x, [0, 1, 2])
            variance = tf.reduce_mean(tf.square(x - mean), [0, 1, 2])
        return gamma[:, None, None] * (x - mean) / tf.sqrt(variance + EPSILON) + beta[:, None, None]

    others = [*tables, *kernels]
    expected = outputs_and_gradients(normalize, features, latents, others=others)
    found = outputs_and_gradients(
        lambda x, z: layer((x, labels, z), training=training), features, latents, others=others
    )
    assert_close(found, expected, 1e-3)


@pytest.mark.parametrize("spectral_norm", [None, {}])
def test_frozen_layer_gives_the_same_result_and_keeps_its_statistics(spectral_norm: dict[str, Any] | None) -> None:
    layer = make_layer(spectral_norm=spectral_norm)
    expected = layer(make_inputs(), training=False).numpy()
    with layer.freeze_for_inference():
        np.testing.assert_allclose(layer(make_inputs(), training=False), expected, atol=1e-5)
        for variable in (layer.moving_mean, layer.moving_variance, layer.gain, layer.bias):
            variable.assign(3.0 * variable)
        np.testing.assert_allclose(layer(make_inputs(), training=False), expected, atol=1e-5)
    assert np.abs(layer(make_inputs(), training=False) - expected).max() > 0.1


def test_two_replicas_equal_one_replica_with_the_whole_batch() -> None:
    with two_replicas().scope():
        layer = make_layer(synchronized=True, spectral_norm={})
    parts = [np.split(array, 2) for array in make_inputs()]
    results = run_on_replicas(lambda *part: [layer(part, training=True)], *parts)
    single = make_layer(spectral_norm={})(make_inputs(), training=True).numpy()
    np.testing.assert_allclose(np.concatenate([result[0] for result in results]), single, rtol=1e-4, atol=1e-4)
