"""Standing statistics against moments in NumPy; and what they leave as it is."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.generation.inference import folded
from sagan_tf.generation.latents import latents_of_seeds
from sagan_tf.layers.batch_normalization import BatchNormalization
from sagan_tf.sampling.standing_statistics import BATCH_SIZE, use_standing_statistics
from tests.sampling.tiny_generator import tiny_generator

LATENT_DIM = 5


def network(**options: Any) -> keras.Model:
    return tiny_generator(**options).network


def norms(generator: keras.Model) -> list[BatchNormalization]:
    return [layer for layer in generator._flatten_layers() if isinstance(layer, BatchNormalization)]


def statistics(generator: keras.Model) -> list[np.ndarray]:
    return [one.numpy() for layer in norms(generator) for one in (layer.moving_mean, layer.moving_variance)]


def inputs_of(batch: int, labels: list[int], truncation: float) -> list[tf.Tensor]:
    places = batch * BATCH_SIZE + np.arange(BATCH_SIZE)
    latents = latents_of_seeds(2**62 + places, LATENT_DIM, truncation)
    return [latents, tf.constant(np.array(labels)[places % len(labels)], tf.int32)]


@pytest.mark.parametrize(("truncation", "batches"), [(math.inf, 1), (0.5, 3)])
def test_means_over_batches_of_their_moments(truncation: float, batches: int) -> None:
    """Of what the first and the last layer are given: the first before any normalisation, the last after all."""
    labels = [2, 0, 0]
    generator, fresh = network(), network()
    use_standing_statistics(generator, labels, batches, truncation, LATENT_DIM)
    outputs = {"first": fresh.get_layer("first_feature_map").output, "last": fresh.get_layer("normalization").input}
    submodel = keras.Model(fresh.inputs, outputs)
    layers = {"first": generator.get_layer("block_1").normalization_1, "last": generator.get_layer("normalization")}
    found: dict[str, list[np.ndarray]] = {"first": [], "last": []}
    with folded(fresh):
        for batch in range(batches):
            for name, features in submodel(inputs_of(batch, labels, truncation), training=True).items():
                features = features.numpy().astype(np.float64)
                found[name].append(np.stack([features.mean(axis=(0, 1, 2)), features.var(axis=(0, 1, 2))]))
    for name, layer in layers.items():
        mean, variance = np.mean(found[name], axis=0)
        np.testing.assert_allclose(layer.moving_mean.numpy(), mean, atol=1e-4)
        np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-3)


@pytest.mark.parametrize("synchronized", [False, True])
def test_the_same_again(synchronized: bool) -> None:
    generator = network(synchronized_batch_norm=synchronized)
    before = statistics(generator)
    use_standing_statistics(generator, [0, 1, 2], 2, 1.0, LATENT_DIM)
    once = statistics(generator)
    use_standing_statistics(generator, [0, 1, 2], 2, 1.0, LATENT_DIM)
    for first, second, old in zip(once, statistics(generator), before, strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-5)
        assert np.abs(first - old).max() > 1e-2


def test_they_are_of_the_truncation_and_of_the_classes() -> None:
    found = []
    generator = network()
    for labels, truncation in (([0], 1.0), ([1], 1.0), ([0], 0.2)):
        use_standing_statistics(generator, labels, 1, truncation, LATENT_DIM)
        layers = generator.get_layer("block_1").normalization_1, generator.get_layer("normalization")
        found.append((layers[0].moving_variance.numpy(), layers[1].moving_mean.numpy()))
    # Before the first gains and biases, classes do not matter; truncated latents vary less.
    first = [one for one, _ in found]
    np.testing.assert_allclose(first[0], first[1], rtol=1e-5)
    assert np.all(first[2] < first[0])
    last = [one for _, one in found]
    assert np.abs(last[0] - last[1]).max() > 1e-2


def test_nothing_else_changes() -> None:
    """Vectors of power iterations, kernels, gains and momenta."""
    generator = network(batch_norm_momentum=0.7)
    others = [variable for variable in generator.variables if "moving" not in variable.name]
    before = [variable.numpy() for variable in others]
    use_standing_statistics(generator, [0, 1], 2, math.inf, LATENT_DIM)
    for variable, value in zip(others, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    assert {layer.momentum for layer in norms(generator)} == {0.7}


def test_momenta_come_back_when_something_goes_wrong() -> None:
    generator = network(batch_norm_momentum=0.7)
    with pytest.raises(Exception, match="latents|shape|incompatible|Matrix"):
        use_standing_statistics(generator, [0], 1, math.inf, LATENT_DIM + 1)
    assert {layer.momentum for layer in norms(generator)} == {0.7}
