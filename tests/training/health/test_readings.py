"""Tests of the health readings against closed forms and with fake networks."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.augmentation import create_augmentation
from sagan_tf.config import DataConfig
from sagan_tf.data.sources.registry import open_source
from sagan_tf.losses import LOSSES
from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.training.health import signs
from sagan_tf.training.health.readings import (
    FixedBatch,
    HealthReader,
    choose_fixed_batch,
    compute_distance_within_classes,
)
from sagan_tf.training.state import TrainState
from tests.data.sample_folders import build_class_directories
from tests.training.tiny import (
    NUM_CLASSES,
    PLAINEST_NETWORKS,
    find_differences,
    make_state,
    one_device,
    read_all_values,
    tiny_config,
    two_replicas,
)

LATENT_DIM = 5


def make_fixed_batch(size: int = 6) -> FixedBatch:
    images = tf.random.stateless_uniform([size, 32, 32, 1], [1, 2], -1.0, 1.0)
    latents = tf.random.stateless_normal([size, LATENT_DIM], [3, 4])
    return FixedBatch(images, tf.range(size) % NUM_CLASSES, latents)


def make_reader(
    state: TrainState, batch: FixedBatch, loss: str = "hinge", augment: tuple[str, ...] = (), seed: int = 0
) -> HealthReader:
    return HealthReader(state, batch, LOSSES[loss], augmentation=create_augmentation(augment), seed=seed)


def tiny_state(**options: Any) -> TrainState:
    return make_state(tiny_config(**options), one_device())


def test_distance_within_classes():
    images: np.ndarray = np.zeros([5, 2, 2, 1], np.float32)
    images[1], images[2, 0, 0] = 1.0, 2.0  # distances 1 of (0, 1), 1 of (0, 2) and 1 of (1, 2)
    images[4] = 0.5
    assert compute_distance_within_classes(images, np.array([0, 0, 0, 1, 1])) == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert compute_distance_within_classes(images, np.arange(5)) == 0.0


@pytest.mark.parametrize(("num_dead", "share"), [(0, 0.0), (2, 0.5), (4, 1.0)])
def test_dead_units_and_constant_logits(num_dead, share):
    state = tiny_state()
    bias = state.discriminator.get_layer("block_4").convolution_2.layer.bias
    bias.assign([-1e3] * num_dead + [1e3] * (4 - num_dead))
    found = make_reader(state, make_fixed_batch())()
    assert found[signs.DEAD_UNITS] == share
    assert (found[signs.LOGIT_DEVIATION] == 0.0) == (share == 1.0)


def test_logits_of_real_and_generated_images():
    state, batch = tiny_state(conditioning="none"), make_fixed_batch()
    found = make_reader(state, batch)()
    fake_images = state.generator([batch.latents, batch.labels], training=False)
    real, fake = (state.discriminator([images, batch.labels]).numpy() for images in (batch.real_images, fake_images))
    assert found[signs.LOGIT_DEVIATION] == pytest.approx(np.std([real, fake]), rel=1e-4)
    assert found[signs.SEPARATION] == np.mean([real_logit > fake_logit for real_logit in real for fake_logit in fake])


@pytest.fixture(scope="module")
def classifying_state() -> TrainState:
    return tiny_state(conditioning="auxiliary_classifier", **PLAINEST_NETWORKS)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_share_of_the_loss_of_constant_logits(classifying_state, loss):
    """It excludes class losses, and does not exist for a loss without a minimum."""
    state, batch = classifying_state, make_fixed_batch()
    fake_images = state.generator([batch.latents, batch.labels], training=False)
    real, fake = (
        tf.nest.flatten(state.discriminator([images, batch.labels]))[0] for images in (batch.real_images, fake_images)
    )
    found = make_reader(state, batch, loss)()
    constant_logit_loss = LOSSES[loss].constant_logit_loss
    assert (constant_logit_loss is None) == (loss == "wasserstein") == (signs.LOSS_SHARE not in found)
    if constant_logit_loss is not None:
        expected = float(LOSSES[loss].discriminator(real, fake)) / constant_logit_loss
        assert found[signs.LOSS_SHARE] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "real", "fake"),
    [("hinge", 1.2, -1.2), ("non_saturating", 9, -9), ("least_squares", 1.1, 0.1), ("relativistic", 12, 0)],
)
def test_a_winning_discriminator(loss, real, fake):
    for fake_logit, has_won in ((fake, True), (real, False)):
        read = make_reader(*state_with_logits(real, fake_logit), loss)
        assert signs.SIGNS["winning discriminator"].check({**read(), signs.LOGIT_GAP: real - fake_logit}) == has_won


def state_with_logits(real: float, fake: float) -> tuple[TrainState, FixedBatch]:
    """Return a state, and images for which its discriminator has one logit if real and one if generated."""
    state, batch = tiny_state(**PLAINEST_NETWORKS), make_fixed_batch()
    image = state.generator.get_layer("image")
    image.kernel.assign(tf.zeros_like(image.kernel))
    image.bias.assign([np.arctanh(-0.5)])
    images, labels = state.discriminator.inputs
    units = keras.layers.Activation("linear", name="activation")(images)
    logits = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(units))
    state.discriminator = keras.Model([images, labels], logits)
    for variable, value in zip(state.discriminator.variables, ([[real - fake]], [(real + fake) / 2]), strict=True):
        variable.assign(value)
    return state, batch._replace(real_images=tf.fill(batch.real_images.shape, 0.5))


def test_a_channel_below_zero_is_not_dead():
    """A leaky ReLU passes values below 0, with a gradient."""
    state, batch = state_with_logits(1.0, -1.0)  # its units are the images, of which the generated ones are negative
    negative = batch._replace(real_images=-batch.real_images)
    assert make_reader(state, negative)()[signs.DEAD_UNITS] == 0.0
    state.generator.get_layer("image").bias.assign([0.0])
    black = batch._replace(real_images=tf.zeros_like(batch.real_images))
    assert make_reader(state, black)()[signs.DEAD_UNITS] == 1.0


def test_the_discriminator_is_read_with_augmented_images():
    """Its augmentation is that of a seed; the distances are those of images without augmentation."""
    state, batch = tiny_state(conditioning="none"), make_fixed_batch()
    read = make_reader(state, batch, augment=("flip", "cutout"), seed=7)
    found, plain = read(), make_reader(state, batch)()
    numbers = RandomNumbers(tf.constant([7, 4], tf.int64), tf.range(len(batch.labels)), len(batch.labels))
    fake_images = state.generator([batch.latents, batch.labels], training=False)
    real, fake = (
        state.discriminator([create_augmentation(("flip", "cutout"))(images, numbers), batch.labels]).numpy()
        for images in (batch.real_images, fake_images)
    )
    assert found[signs.LOGIT_DEVIATION] == pytest.approx(np.std([real, fake]), rel=1e-4)
    assert abs(found[signs.LOGIT_DEVIATION] / plain[signs.LOGIT_DEVIATION] - 1) > 0.01
    assert found[signs.DISTANCE_RATIO] == plain[signs.DISTANCE_RATIO] and read() == found


def test_the_distance_ratio_uses_the_ema_generator():
    state, batch = tiny_state(), make_fixed_batch()
    for variable in state.generator_ema.trainable_variables:
        variable.assign(tf.zeros_like(variable))  # all images are equal
    assert make_reader(state, batch)()[signs.DISTANCE_RATIO] == 0.0
    state.generator.get_layer("image").layer.bias.assign([3.0])
    assert make_reader(state, batch)()[signs.DISTANCE_RATIO] == 0.0
    single_images = FixedBatch(batch.real_images[:3], batch.labels[:3], batch.latents[:3])
    assert signs.DISTANCE_RATIO not in make_reader(state, single_images)()


@pytest.mark.parametrize(
    "options",
    [
        {"conditioning": "none", "precision": "mixed_float16"},
        {"conditioning": "auxiliary_classifier", **PLAINEST_NETWORKS},
        {"synchronized_batch_norm": True, "strategy": "mirrored"},
    ],
    ids=str,
)
def test_reading_does_not_change_the_state(options):
    config = tiny_config(**options)
    state = make_state(config, two_replicas() if config.training.strategy == "mirrored" else one_device())
    before = read_all_values(state)
    read = make_reader(state, make_fixed_batch())
    found = read()
    assert found == read() and all(np.isfinite(value) for value in found.values())
    assert find_differences(before, read_all_values(state)) == set()


@pytest.mark.parametrize(("num_classes", "sizes"), [(10, [6, 6, 6, 6]), (0, [24])])
def test_the_fixed_batch_has_few_classes(num_classes, sizes):
    source = open_source(tiny_config(dataset="fashion_mnist_10k").data, resolution=32, image_channels=1)
    batch = choose_fixed_batch(source, num_classes=num_classes, latent_dim=LATENT_DIM, seed=3)
    assert np.unique(batch.labels, return_counts=True)[1].tolist() == sizes
    assert batch.real_images.shape == (24, 32, 32, 1) and batch.latents.shape == (24, LATENT_DIM)
    stored = {
        example["image"].tobytes(): int(example["label"]) for example in source.preview(10_000).as_numpy_iterator()
    }
    pixels = np.round((batch.real_images.numpy() + 1.0) * 127.5).astype(np.uint8)
    labels = [stored[image.tobytes()] for image in pixels]
    if num_classes:
        assert labels == batch.labels.numpy().tolist()
        # Neighbors have different classes, which matters for a discriminator with minibatch statistics.
        assert [len(set(group)) for group in batch.labels.numpy().reshape(-1, 4)] == [4] * 6


def test_the_fixed_batch_of_images_stored_by_class(tmp_path):
    build_class_directories(tmp_path, ("ant", "bee", "cat"), images_per_class=300)
    source = open_source(DataConfig(dataset="folder", data_dir=str(tmp_path)), resolution=32, image_channels=3)
    batch = choose_fixed_batch(source, num_classes=3, latent_dim=LATENT_DIM, seed=3)
    assert np.bincount(batch.labels).tolist() == [6, 6, 6]
