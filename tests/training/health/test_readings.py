"""Readings of health against closed forms, on stand-in networks; reading changes nothing."""

from __future__ import annotations

import itertools
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.losses import LOSSES
from sagan_tf.training.health import signs as signs
from sagan_tf.training.health.readings import FixedBatch, HealthReader, choose_batch, mean_distance_within_classes
from sagan_tf.training.state import TrainState
from tests.data.sample_folders import build_class_folders
from tests.training.tiny import (
    NUM_CLASSES,
    PLAINEST_NETWORKS,
    all_values,
    differences,
    make_state,
    one_device,
    tiny_config,
    two_replicas,
)

LATENT_DIM = 5


def fixed_batch(size: int = 6) -> FixedBatch:
    images = tf.random.stateless_uniform([size, 32, 32, 1], [1, 2], -1.0, 1.0)
    latents = tf.random.stateless_normal([size, LATENT_DIM], [3, 4])
    return FixedBatch(images, tf.range(size) % NUM_CLASSES, latents)


def reader(state: TrainState, batch: FixedBatch, loss: str = "hinge") -> HealthReader:
    return HealthReader(state, batch, LOSSES[loss])


def tiny_state(**options: Any) -> TrainState:
    return make_state(tiny_config(**options), one_device())


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
    found = reader(state, fixed_batch())()
    assert found[signs.DEAD_UNITS] == share
    assert (found[signs.LOGIT_DEVIATION] == 0.0) == (share == 1.0)


def test_logits_of_real_and_generated_images() -> None:
    state, batch = tiny_state(conditioning="none"), fixed_batch()
    found = reader(state, batch)()
    fake_images = state.generator([batch.latents, batch.labels], training=False)
    real, fake = (state.discriminator([images, batch.labels]).numpy() for images in (batch.real_images, fake_images))
    assert found[signs.LOGIT_DEVIATION] == pytest.approx(np.std([real, fake]), rel=1e-4)
    assert found[signs.SEPARATION] == np.mean([one > other for one in real for other in fake])


@pytest.fixture(scope="module")
def classifying_state() -> TrainState:
    return tiny_state(conditioning="auxiliary_classifier", **PLAINEST_NETWORKS)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_share_of_the_loss_of_a_guess(classifying_state: TrainState, loss: str) -> None:
    """Of the adversarial loss alone, without that of the classes; not of a loss without a minimum."""
    state, batch = classifying_state, fixed_batch()
    fake_images = state.generator([batch.latents, batch.labels], training=False)
    real, fake = (
        tf.nest.flatten(state.discriminator([images, batch.labels]))[0] for images in (batch.real_images, fake_images)
    )
    found = reader(state, batch, loss)()
    if loss == "wasserstein":
        assert signs.LOSS_SHARE not in found
    else:
        expected = float(LOSSES[loss].discriminator(real, fake)) / LOSSES[loss].loss_of_guess
        assert found[signs.LOSS_SHARE] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "real", "fake"),
    [("hinge", 1.2, -1.2), ("non_saturating", 9, -9), ("least_squares", 1.1, 0.1), ("relativistic", 12, 0)],
)
def test_a_discriminator_that_has_won_by_its_loss(
    classifying_state: TrainState, loss: str, real: float, fake: float
) -> None:
    read = reader(classifying_state, fixed_batch(), loss)
    read._units_and_logits = FixedLogits(real, fake)
    values = {**read(), signs.LOGIT_GAP: real - fake}
    assert signs.SIGNS["winning discriminator"].judge(values)
    read._units_and_logits = FixedLogits(real, real)
    assert not signs.SIGNS["winning discriminator"].judge({**read(), signs.LOGIT_GAP: 0.0})


class FixedLogits:
    """A discriminator with one logit for the real images, which it is shown first, and one for the generated ones."""

    def __init__(self, real: float, fake: float) -> None:
        self._logits = itertools.cycle([real, fake])

    def __call__(self, inputs: list[tf.Tensor], training: bool) -> list[tf.Tensor]:
        size = len(inputs[0])
        return [tf.ones([size, 4, 4, 8]), tf.fill([size, 1], float(next(self._logits)))]


def test_the_ratio_of_distances_is_of_the_ema_generator() -> None:
    state, batch = tiny_state(), fixed_batch()
    for variable in state.generator_ema.trainable_variables:
        variable.assign(tf.zeros_like(variable))  # all images are one
    assert reader(state, batch)()[signs.DISTANCE_RATIO] == 0.0
    state.generator.get_layer("image").layer.bias.assign([3.0])
    assert reader(state, batch)()[signs.DISTANCE_RATIO] == 0.0
    alone = FixedBatch(batch.real_images[:3], batch.labels[:3], batch.latents[:3])
    assert signs.DISTANCE_RATIO not in reader(state, alone)()


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
    read = reader(state, fixed_batch())
    found = read()
    assert found == read() and all(np.isfinite(value) for value in found.values())
    assert differences(before, all_values(state)) == set()


@pytest.mark.parametrize(("num_classes", "sizes"), [(10, [6, 6, 6, 6]), (0, [24])])
def test_the_fixed_batch_has_a_few_classes(num_classes: int, sizes: list[int]) -> None:
    source = open_source(tiny_config(dataset="fashion_mnist_10k").data, resolution=32, image_channels=1)
    batch = choose_batch(source, num_classes=num_classes, latent_dim=LATENT_DIM, seed=3)
    assert np.unique(batch.labels, return_counts=True)[1].tolist() == sizes
    assert batch.real_images.shape == (24, 32, 32, 1) and batch.latents.shape == (24, LATENT_DIM)
    stored = {
        example["image"].tobytes(): int(example["label"]) for example in source.preview(10_000).as_numpy_iterator()
    }
    pixels = np.round((batch.real_images.numpy() + 1.0) * 127.5).astype(np.uint8)
    labels = [stored[image.tobytes()] for image in pixels]
    assert not num_classes or labels == batch.labels.numpy().tolist()


def test_neighbors_in_the_fixed_batch_are_of_different_classes() -> None:
    """As in training, for a discriminator that looks at groups of images."""
    source = open_source(tiny_config(dataset="fashion_mnist_10k").data, resolution=32, image_channels=1)
    labels = choose_batch(source, num_classes=10, latent_dim=LATENT_DIM, seed=3).labels.numpy()
    assert [len(set(group)) for group in labels.reshape(-1, 4)] == [4] * 6


def test_the_fixed_batch_of_images_that_are_stored_by_class(tmp_path: pathlib.Path) -> None:
    build_class_folders(tmp_path, ("ant", "bee", "cat"), images_per_class=300)
    source = open_source(DataConfig(dataset="folder", data_dir=str(tmp_path)), resolution=32, image_channels=3)
    batch = choose_batch(source, num_classes=3, latent_dim=LATENT_DIM, seed=3)
    assert np.bincount(batch.labels).tolist() == [6, 6, 6]
