"""Tests of generators whose labels are mixtures of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sagan_tf.generation.generators import Generator
from sagan_tf.layers import ConditionalBatchNormalization
from sagan_tf.sampling.class_blends import blend_classes
from tests.sampling.tiny_generator import make_tiny_generator

SEEDS = np.array([3, 4])


@pytest.fixture(
    scope="module", params=[{}, {"latents_to_every_block": True, "latent_dim": 8}], ids=["plain", "latents"]
)
def generator(request: pytest.FixtureRequest) -> Generator:
    return make_tiny_generator(**request.param)


def blend(generator: Generator, weights: Any) -> Generator:
    return blend_classes(generator.network, generator.config, np.array(weights, np.float32))


def make_images(generator: Generator, label: int) -> np.ndarray:
    return generator.images_from_seeds(SEEDS, np.full(2, label)).astype(int)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 1), (2,), (0, 1, 2, 0, 1)])
def test_weight_1_of_a_class_gives_its_images(generator: Generator, order: tuple[int, ...]) -> None:
    """This holds, too, if there are as many labels as classes in a different order."""
    found = blend(generator, np.eye(3)[list(order)])
    assert found.num_classes == len(order)
    for label, original in enumerate(order):
        np.testing.assert_array_equal(make_images(found, label), make_images(generator, original))


def test_a_mixture_differs_from_its_classes(generator: Generator) -> None:
    found = blend(generator, [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    for original in range(3):
        assert np.abs(make_images(found, 0) - make_images(generator, original)).max() > 10
    np.testing.assert_array_equal(make_images(found, 1), make_images(generator, 0))


def test_gains_and_biases_are_means(generator: Generator) -> None:
    weights = np.array([[0.25, 0.25, 0.5], [0.0, 0.9, 0.1]], np.float32)
    found = blend(generator, weights)
    layers = [
        [layer for layer in model.network._flatten_layers() if isinstance(layer, ConditionalBatchNormalization)]
        for model in (generator, found)
    ]
    assert len(layers[0]) == len(layers[1]) > 0
    for old, new in zip(*layers, strict=True):
        for name in ("gain", "bias"):
            expected = weights.astype(np.float64) @ getattr(old, name).numpy().astype(np.float64)
            np.testing.assert_allclose(getattr(new, name).numpy(), expected, atol=1e-6)
        for name in ("moving_mean", "moving_variance"):
            np.testing.assert_array_equal(getattr(new, name).numpy(), getattr(old, name).numpy())


def test_the_original_generator_does_not_change(generator: Generator) -> None:
    before = [variable.numpy() for variable in generator.network.variables]
    images = make_images(generator, 1)
    blend(generator, [[0.5, 0.5, 0.0], [0.1, 0.2, 0.7], [0.0, 0.0, 1.0]])
    for variable, value in zip(generator.network.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    np.testing.assert_array_equal(make_images(generator, 1), images)
