"""Tests of the ranks of the generator against closed forms."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.training.health import signs
from sagan_tf.training.health.ranks import compute_class_table_ranks, compute_latent_ranks
from tests.training.tiny import make_state, one_device, tiny_config


def tiny_generator(**options: Any) -> keras.Model:
    return make_state(tiny_config(**options), one_device()).generator


@pytest.mark.parametrize("spectral_norm", [True, False])
def test_ranks_of_the_first_kernel(spectral_norm):
    generator = tiny_generator(generator_spectral_norm=spectral_norm)
    layer = generator.get_layer("dense")
    kernel = (layer.layer if spectral_norm else layer).kernel
    left, _, right = np.linalg.svd(kernel.numpy(), full_matrices=False)
    kernel.assign(left @ np.diag([4.0, 2.0, 1.0, 1.0, 1.0]) @ right)
    ranks_by_name = compute_latent_ranks(generator)
    assert [ranks_by_name[name] for name in signs.SINGULAR_VALUES] == pytest.approx([4, 2, 1], rel=1e-4)
    assert ranks_by_name[signs.LATENT_RANK] == pytest.approx(23 / 16, rel=1e-4)
    assert ranks_by_name[signs.LATENT_RANK_SHARE] == pytest.approx(23 / 16 / 5, rel=1e-4)


def test_ranks_of_class_tables():
    generator = tiny_generator()
    assert compute_class_table_ranks(generator) == {}  # all rows are equal
    layer = generator.get_layer("block_2").normalization_1
    layer.gain.assign(7.0 + np.outer([1, 0, -1], np.eye(8)[0]) + np.outer([1, -2, 1], 0.5 * np.eye(8)[1]))
    assert compute_class_table_ranks(generator)[signs.CLASS_TABLE_RANK] == pytest.approx(3.5 / 2, rel=1e-4)
    layer.bias.assign(np.outer([1, 0, -1], np.ones(8)))
    assert compute_class_table_ranks(generator)[signs.CLASS_TABLE_RANK] == pytest.approx(1, rel=1e-4)
    for options in ({}, {"latents_to_every_block": True, "latent_dim": 8}):
        assert compute_class_table_ranks(tiny_generator(conditioning="none", **options)) == {}


SPLIT = {"latents_to_every_block": True, "latent_dim": 8, "num_classes": 3}
"""Options of a generator with two latents for the first layer and for each of three blocks."""


def get_latent_maps(generator: keras.Model, block: int) -> list[keras.layers.Layer]:
    layer = generator.get_layer(f"block_{block}")
    return [
        latent_map
        for normalization in (layer.normalization_1, layer.normalization_2)
        for latent_map in (normalization.latent_gain, normalization.latent_bias)
    ]


def test_ranks_of_the_parts_of_a_split_latent_vector():
    generator = tiny_generator(generator_spectral_norm=False, **SPLIT)
    generator.get_layer("dense").kernel.assign(np.eye(*generator.get_layer("dense").kernel.shape))
    for block, second in ((1, 1.0), (2, 0.5), (3, 0.0)):
        for latent_map in get_latent_maps(generator, block):  # diagonal matrices of 1 and `second`
            latent_map.kernel.assign(np.diag([1.0, second]) @ np.eye(*latent_map.kernel.shape))
    ranks_by_name = compute_latent_ranks(generator)
    assert ranks_by_name[signs.LATENT_RANK] == pytest.approx(2)
    assert ranks_by_name[signs.BLOCK_LATENT_RANK] == pytest.approx(1)
    assert ranks_by_name[signs.LATENT_RANK_SHARE] == pytest.approx(np.mean([2, 2, 1.25, 1]) / 2)
    assert signs.BLOCK_LATENT_RANK not in compute_latent_ranks(tiny_generator())


def test_the_maps_of_a_block_form_one_matrix():
    """Maps of rank 1 that depend on different latents together have rank 2."""
    generator = tiny_generator(generator_spectral_norm=False, **SPLIT)
    for block in (1, 2, 3):
        for index, latent_map in enumerate(get_latent_maps(generator, block)):
            latent_map.kernel.assign(np.outer(np.eye(2)[index % 2], np.eye(latent_map.kernel.shape[1])[0]))
    assert compute_latent_ranks(generator)[signs.BLOCK_LATENT_RANK] == pytest.approx(2)


def test_ranks_of_the_blocks_use_the_normalized_maps():
    generator = tiny_generator(**SPLIT)
    before = compute_latent_ranks(generator)
    for latent_map in get_latent_maps(generator, 2)[:2]:
        latent_map.layer.kernel.assign(50.0 * latent_map.layer.kernel)
    assert compute_latent_ranks(generator) == pytest.approx(before, rel=1e-4)


def test_a_kernel_of_zeros_has_rank_0():
    generator = tiny_generator(generator_spectral_norm=False)
    kernel = generator.get_layer("dense").kernel
    kernel.assign(tf.zeros_like(kernel))
    assert compute_latent_ranks(generator)[signs.LATENT_RANK] == 0.0
