"""Mixtures of classes: at a class itself they are that class; elsewhere the mean of its gains and biases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sagan_tf.generation.generators import Generator
from sagan_tf.layers import ConditionalBatchNormalization
from sagan_tf.sampling.class_blends import blended_generator
from tests.sampling.tiny_generator import tiny_generator

SEEDS = np.array([3, 4])


@pytest.fixture(
    scope="module", params=[{}, {"latents_to_every_block": True, "latent_dim": 8}], ids=["plain", "latents"]
)
def generator(request: pytest.FixtureRequest) -> Generator:
    return tiny_generator(**request.param)


def blended(generator: Generator, weights: Any) -> Generator:
    return blended_generator(generator.network, generator.config, np.array(weights, np.float32))


def of_label(generator: Generator, label: int) -> np.ndarray:
    return generator.of_seeds(SEEDS, np.full(2, label)).astype(int)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 1), (2,), (0, 1, 2, 0, 1)])
def test_a_class_alone_is_that_class(generator: Generator, order: tuple[int, ...]) -> None:
    """Also where there are as many labels as classes, in another order."""
    found = blended(generator, np.eye(3)[list(order)])
    assert found.num_classes == len(order)
    for label, original in enumerate(order):
        np.testing.assert_array_equal(of_label(found, label), of_label(generator, original))


def test_half_and_half_is_neither(generator: Generator) -> None:
    found = blended(generator, [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    for original in range(3):
        assert np.abs(of_label(found, 0) - of_label(generator, original)).max() > 10
    np.testing.assert_array_equal(of_label(found, 1), of_label(generator, 0))


def test_gains_and_biases_are_means(generator: Generator) -> None:
    weights = np.array([[0.25, 0.25, 0.5], [0.0, 0.9, 0.1]], np.float32)
    found = blended(generator, weights)
    layers = [
        [layer for layer in one.network._flatten_layers() if isinstance(layer, ConditionalBatchNormalization)]
        for one in (generator, found)
    ]
    assert len(layers[0]) == len(layers[1]) > 0
    for old, new in zip(*layers, strict=True):
        for name in ("gain", "bias"):
            expected = weights.astype(np.float64) @ getattr(old, name).numpy().astype(np.float64)
            np.testing.assert_allclose(getattr(new, name).numpy(), expected, atol=1e-6)
        for name in ("moving_mean", "moving_variance"):
            np.testing.assert_array_equal(getattr(new, name).numpy(), getattr(old, name).numpy())


def test_the_generator_itself_stays_as_it_is(generator: Generator) -> None:
    before = [variable.numpy() for variable in generator.network.variables]
    pictures = of_label(generator, 1)
    blended(generator, [[0.5, 0.5, 0.0], [0.1, 0.2, 0.7], [0.0, 0.0, 1.0]])
    for variable, value in zip(generator.network.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    np.testing.assert_array_equal(of_label(generator, 1), pictures)
