"""Readings of health against closed forms, on stand-in networks; reading changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.data.sources import open_source
from sagan_tf.training import health_signs as signs
from sagan_tf.training.health_readings import (
    FixedBatch,
    HealthReader,
    choose_batch,
    class_table_ranks,
    latent_ranks,
    mean_distance_within_classes,
)
from sagan_tf.training.state import TrainState
from tests.training.tiny import NUM_CLASSES, all_values, differences, make_state, one_device, tiny_config, two_replicas

LATENT_DIM = 5


def fixed_batch(size: int = 6) -> FixedBatch:
    images = tf.random.stateless_uniform([size, 32, 32, 1], [1, 2], -1.0, 1.0)
    latents = tf.random.stateless_normal([size, LATENT_DIM], [3, 4])
    return FixedBatch(images, tf.range(size) % NUM_CLASSES, latents)


def tiny_state(**options: Any) -> TrainState:
    return make_state(tiny_config(**options), one_device())


@pytest.mark.parametrize("spectral_norm", [True, False])
def test_ranks_of_the_kernel_of_latents(spectral_norm: bool) -> None:
    generator = tiny_state(generator_spectral_norm=spectral_norm).generator
    layer = generator.get_layer("dense")
    kernel = (layer.layer if spectral_norm else layer).kernel
    left, _, right = np.linalg.svd(kernel.numpy(), full_matrices=False)
    kernel.assign(left @ np.diag([4.0, 2.0, 1.0, 1.0, 1.0]) @ right)
    found = latent_ranks(generator)
    assert [found[name] for name in signs.SINGULAR_VALUES] == pytest.approx([4, 2, 1], rel=1e-4)
    assert found[signs.LATENT_RANK] == pytest.approx(23 / 16, rel=1e-4)
    assert found[signs.LATENT_RANK_SHARE] == pytest.approx(23 / 16 / 5, rel=1e-4)


def test_rank_of_class_tables() -> None:
    generator = tiny_state().generator
    assert class_table_ranks(generator) == {}  # all classes alike
    layer = generator.get_layer("block_2").normalization_1
    layer.gain.assign(7.0 + np.outer([1, 0, -1], np.eye(8)[0]) + np.outer([1, -2, 1], 0.5 * np.eye(8)[1]))
    assert class_table_ranks(generator)[signs.CLASS_TABLE_RANK] == pytest.approx(3.5 / 2, rel=1e-4)
    layer.bias.assign(np.outer([1, 0, -1], np.ones(8)))
    assert class_table_ranks(generator)[signs.CLASS_TABLE_RANK] == pytest.approx(1, rel=1e-4)
    for options in ({}, {"latents_to_every_block": True, "latent_dim": 8}):
        assert class_table_ranks(tiny_state(conditioning="none", **options).generator) == {}


def test_distance_within_classes() -> None:
    images = np.zeros([5, 2, 2, 1], np.float32)
    images[1], images[2, 0, 0] = 1.0, 2.0  # distances 1 of (0, 1), 1 of (0, 2) and 1 of (1, 2)
    images[4] = 0.5
    assert mean_distance_within_classes(images, np.array([0, 0, 0, 1, 1])) == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert mean_distance_within_classes(images, np.arange(5)) == 0.0


@pytest.mark.parametrize(("num_dead", "share"), [(0, 0.0), (2, 0.5), (4, 1.0)])
def test_dead_units_and_constant_logits(num_dead: int, share: float) -> None:
    state = tiny_state()
    bias = state.discriminator.get_layer("block_4").convolution_2.layer.bias
    bias.assign([-1e3] * num_dead + [1e3] * (4 - num_dead))
    found = HealthReader(state, fixed_batch())()
    assert found[signs.DEAD_UNITS] == share
    assert (found[signs.LOGIT_DEVIATION] == 0.0) == (share == 1.0)


def test_logits_of_real_and_generated_images() -> None:
    state, batch = tiny_state(conditioning="none"), fixed_batch()
    found = HealthReader(state, batch)()
    fake_images = state.generator([batch.latents, batch.labels], training=False)
    real, fake = (state.discriminator([images, batch.labels]).numpy() for images in (batch.real_images, fake_images))
    assert found[signs.LOGIT_DEVIATION] == pytest.approx(np.std([real, fake]), rel=1e-4)
    assert found[signs.SEPARATION] == np.mean([one > other for one in real for other in fake])


def test_the_ratio_of_distances_is_of_the_ema_generator() -> None:
    state, batch = tiny_state(), fixed_batch()
    for variable in state.generator_ema.trainable_variables:
        variable.assign(tf.zeros_like(variable))  # all images are one
    assert HealthReader(state, batch)()[signs.DISTANCE_RATIO] == 0.0
    state.generator.get_layer("image").layer.bias.assign([3.0])
    assert HealthReader(state, batch)()[signs.DISTANCE_RATIO] == 0.0
    alone = FixedBatch(batch.real_images[:3], batch.labels[:3], batch.latents[:3])
    assert signs.DISTANCE_RATIO not in HealthReader(state, alone)()


CASES = [
    {},
    {"conditioning": "none"},
    {"conditioning": "auxiliary_classifier"},
    {"architecture": "dcgan", "attention_resolutions": (), "generator_spectral_norm": False},
    {"precision": "mixed_float16"},
    {"synchronized_batch_norm": True, "strategy": "mirrored"},
]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_reading_changes_nothing(options: dict[str, Any]) -> None:
    config = tiny_config(**options)
    state = make_state(config, two_replicas() if config.training.strategy == "mirrored" else one_device())
    before = all_values(state)
    read = HealthReader(state, fixed_batch())
    found = read()
    assert found == read() and all(np.isfinite(value) for value in found.values())
    assert differences(before, all_values(state)) == set()


@pytest.mark.parametrize(("num_classes", "sizes"), [(10, [6, 6, 6, 6]), (0, [24])])
def test_the_fixed_batch_has_a_few_classes(num_classes: int, sizes: list[int]) -> None:
    source = open_source(tiny_config(dataset="fashion_mnist_10k").data, resolution=32, image_channels=1)
    batch = choose_batch(source, num_classes=num_classes, latent_dim=LATENT_DIM, seed=3)
    assert np.unique(batch.labels, return_counts=True)[1].tolist() == sizes
    assert batch.real_images.shape == (24, 32, 32, 1) and batch.latents.shape == (24, LATENT_DIM)
    stored = {example["image"].tobytes(): int(example["label"]) for example in source.preview(256).as_numpy_iterator()}
    pixels = np.round((batch.real_images.numpy() + 1.0) * 127.5).astype(np.uint8)
    labels = [stored[image.tobytes()] for image in pixels]
    assert not num_classes or labels == batch.labels.numpy().tolist()
