"""Tests of generators whose labels are mixtures of classes."""

from typing import Any

import numpy as np
import pytest

from sagan_tf.generation.generators import Generator
from sagan_tf.layers import ConditionalBatchNormalization
from sagan_tf.sampling.class_blends import blend_classes
from tests.sampling.tiny_generator import get_network, make_tiny_generator

SEEDS = np.array([3, 4])


@pytest.fixture(
    scope="module", params=[{}, {"latents_to_every_block": True, "latent_dim": 8}], ids=["plain", "latents"]
)
def generator(request):
    return make_tiny_generator(**request.param)


def blend(generator: Generator, weights: Any) -> Generator:
    assert generator.config is not None
    return blend_classes(generator.network, generator.config, np.array(weights, np.float32))


def make_images(generator: Generator, label: int) -> np.ndarray:
    return generator.images_from_seeds(SEEDS, np.full(2, label)).astype(int)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 1), (2,), (0, 1, 2, 0, 1)])
def test_weight_1_of_a_class_gives_its_images(generator, order):
    """This holds, too, if there are as many labels as classes in a different order."""
    found = blend(generator, np.eye(3)[list(order)])
    assert found.num_classes == len(order)
    for label, original in enumerate(order):
        np.testing.assert_array_equal(make_images(found, label), make_images(generator, original))


def test_gains_and_biases_are_means(generator):
    """The original generator does not change."""
    variables = get_network(generator).variables
    before = [variable.numpy() for variable in variables]
    weights = np.array([[0.25, 0.25, 0.5], [0.0, 0.9, 0.1]], np.float32)
    found = blend(generator, weights)
    layers = [
        [layer for layer in get_network(model)._flatten_layers() if isinstance(layer, ConditionalBatchNormalization)]
        for model in (generator, found)
    ]
    assert len(layers[0]) == len(layers[1]) > 0
    for old, new in zip(*layers, strict=True):
        for name in ("gain", "bias"):
            expected = weights.astype(np.float64) @ getattr(old, name).numpy().astype(np.float64)
            np.testing.assert_allclose(getattr(new, name).numpy(), expected, atol=1e-6)
        for name in ("moving_mean", "moving_variance"):
            np.testing.assert_array_equal(getattr(new, name).numpy(), getattr(old, name).numpy())
    assert np.abs(make_images(found, 0) - make_images(generator, 0)).max() > 10
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
