"""Tests of standing statistics, against moments in NumPy."""

import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.generation.inference import freeze_for_inference
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.layers.batch_normalization import BatchNormalization
from sagan_tf.sampling.standing_statistics import BATCH_SIZE, use_standing_statistics
from tests.sampling.tiny_generator import get_network, make_tiny_generator

LATENT_DIM = 5


def network(**options: Any) -> keras.Model:
    return get_network(make_tiny_generator(**options))


def find_normalization_layers(generator: keras.Model) -> list[BatchNormalization]:
    return [layer for layer in generator._flatten_layers() if isinstance(layer, BatchNormalization)]


def read_statistics(generator: keras.Model) -> list[np.ndarray]:
    return [
        variable.numpy()
        for layer in find_normalization_layers(generator)
        for variable in (layer.moving_mean, layer.moving_variance)
    ]


def make_inputs(batch: int, labels: list[int], truncation: float) -> list[tf.Tensor]:
    indices: np.ndarray = batch * BATCH_SIZE + np.arange(BATCH_SIZE)
    latents = draw_latents_from_seeds(2**62 + indices, LATENT_DIM, truncation)
    return [latents, tf.constant(np.array(labels)[indices % len(labels)], tf.int32)]


@pytest.mark.parametrize(("truncation", "batches"), [(math.inf, 1), (0.5, 2)])
def test_statistics_are_means_over_batches(truncation, batches):
    """Check the first layer, whose inputs precede all normalization, and the last layer."""
    labels = [2, 0, 0]
    generator, fresh = network(), network()
    use_standing_statistics(generator, labels, batches, truncation, LATENT_DIM)
    outputs = {"first": fresh.get_layer("first_feature_map").output, "last": fresh.get_layer("normalization").input}
    submodel = keras.Model(fresh.inputs, outputs)
    layers = {"first": generator.get_layer("block_1").normalization_1, "last": generator.get_layer("normalization")}
    found: dict[str, list[np.ndarray]] = {"first": [], "last": []}
    with freeze_for_inference(fresh):
        for batch in range(batches):
            for name, features in submodel(make_inputs(batch, labels, truncation), training=True).items():
                features = features.numpy().astype(np.float64)
                found[name].append(np.stack([features.mean(axis=(0, 1, 2)), features.var(axis=(0, 1, 2))]))
    for name, layer in layers.items():
        mean, variance = np.mean(found[name], axis=0)
        np.testing.assert_allclose(layer.moving_mean.numpy(), mean, atol=1e-4)
        np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-3)


@pytest.mark.parametrize("synchronized", [False, True])
def test_a_second_call_gives_equal_statistics(synchronized):
    generator = network(synchronized_batch_norm=synchronized)
    before = read_statistics(generator)
    use_standing_statistics(generator, [0, 1, 2], 2, 1.0, LATENT_DIM)
    once = read_statistics(generator)
    use_standing_statistics(generator, [0, 1, 2], 2, 1.0, LATENT_DIM)
    for first, second, old in zip(once, read_statistics(generator), before, strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-5)
        assert np.abs(first - old).max() > 1e-2


def test_further_variables_do_not_change():
    """Vectors of power iterations, kernels, gains and momenta stay equal; momenta also after an error."""
    generator = network(batch_norm_momentum=0.7)
    unchanged = [variable for variable in generator.variables if "moving" not in variable.name]
    before = [variable.numpy() for variable in unchanged]
    use_standing_statistics(generator, [0, 1], 1, math.inf, LATENT_DIM)
    for variable, value in zip(unchanged, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    with pytest.raises(Exception, match="latents|shape|incompatible|Matrix"):
        use_standing_statistics(generator, [0], 1, math.inf, LATENT_DIM + 1)
    assert {layer.momentum for layer in find_normalization_layers(generator)} == {0.7}
