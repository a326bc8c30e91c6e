"""Tests of the overfitting reader with closed forms and a fake discriminator."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.augmentation import create_augmentation
from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.training.health.overfitting import LabeledImages, OverfittingReader
from sagan_tf.training.health.signs import HELD_OUT_GAP, OVERFITTING
from tests.training.tiny import (
    NUM_CLASSES,
    PLAINEST_NETWORKS,
    find_differences,
    make_state,
    one_device,
    read_all_values,
    tiny_config,
)


class PixelMeanDiscriminator:
    """Discriminator with the mean of the pixels plus ten times the label as its logit."""

    def __call__(self, inputs: Any, training: bool) -> tf.Tensor:
        images, labels = inputs
        assert not training and len(labels) <= 16 and len(labels) % 2 == 0
        return tf.reduce_mean(images, axis=[1, 2, 3])[:, None] + 10.0 * tf.cast(labels, tf.float32)[:, None]


def make_constant_images(levels: np.ndarray, labels: np.ndarray) -> LabeledImages:
    images = np.broadcast_to(levels[:, None, None, None], (len(levels), 32, 32, 1))
    return LabeledImages(images.astype(np.uint8), labels.astype(np.int32))


NO_AUGMENTATION = create_augmentation(())


def read_levels(
    training: LabeledImages, held_out: LabeledImages, generated: float, augmentation: Any = NO_AUGMENTATION
) -> Any:
    """Read with a generator that generates images with the mean `generated` only."""
    state = make_state(tiny_config(**PLAINEST_NETWORKS), one_device())
    image = state.generator.get_layer("image")
    image.kernel.assign(tf.zeros_like(image.kernel))
    image.bias.assign([np.arctanh(generated)])
    state.discriminator = PixelMeanDiscriminator()
    return OverfittingReader(state, training, held_out, seed=0, group_size=2, augmentation=augmentation)()


LABELS: np.ndarray = np.arange(70) % NUM_CLASSES


def make_levels(level: int) -> np.ndarray:
    """Return 70 gray levels, of which the last six are 60 higher."""
    return level + 20 * (-1) ** np.arange(70) + 60 * (np.arange(70) >= 64)


def test_ratio_of_the_two_leads():
    training, held_out = make_constant_images(make_levels(150), LABELS), make_constant_images(make_levels(120), LABELS)
    values = read_levels(training, held_out, generated=-0.5)
    mean = np.mean(make_levels(150)) / 127.5 - 1
    assert values[HELD_OUT_GAP] == pytest.approx(30 / 127.5, rel=1e-4)
    assert values[OVERFITTING] == pytest.approx(30 / 127.5 / (mean + 0.5), rel=1e-3)


def test_different_proportions_of_classes_are_not_overfitting():
    training = make_constant_images(np.full(70, 180), LABELS)
    values = read_levels(training, make_constant_images(np.full(20, 180), np.ones(20)), generated=-0.5)
    assert values[HELD_OUT_GAP] == pytest.approx(0, abs=1e-5) and values[OVERFITTING] == pytest.approx(0, abs=1e-5)
    nothing_in_common = make_constant_images(np.full(20, 180), np.full(20, NUM_CLASSES))
    assert read_levels(training, nothing_in_common, generated=-0.5) == {HELD_OUT_GAP: None, OVERFITTING: None}


@pytest.mark.parametrize("counts", [(10, 60), (60, 10)])
def test_the_ratio_of_memorized_images_is_1_with_different_proportions_of_classes(counts):
    """Classes have different gaps; held-out and generated images have equal logits."""
    labels: np.ndarray = np.repeat([0, 1], counts)
    held_out_labels: np.ndarray = np.repeat([0, 1], counts[::-1])
    training = make_constant_images(np.where(labels == 0, 240, 120), labels)
    values = read_levels(training, make_constant_images(np.full(70, 64), held_out_labels), generated=64 / 127.5 - 1)
    assert values[OVERFITTING] == pytest.approx(1, abs=1e-3)
    assert values[HELD_OUT_GAP] == pytest.approx((176 * counts[1] + 56 * counts[0]) / 70 / 127.5, rel=1e-3)


def test_all_sets_are_augmented_with_the_same_random_numbers():
    recorded: list[tuple[list[int], np.ndarray]] = []

    def darken(images: tf.Tensor, numbers: RandomNumbers) -> tf.Tensor:
        recorded.append((numbers.rows.numpy().tolist(), numbers.uniform().numpy()))
        return images / 2.0

    sets = make_constant_images(make_levels(150), LABELS), make_constant_images(make_levels(120), LABELS)
    values = read_levels(*sets, generated=-0.5, augmentation=darken)
    plain = read_levels(*sets, generated=-0.5)
    assert values[HELD_OUT_GAP] == pytest.approx(plain[HELD_OUT_GAP] / 2, rel=1e-4)
    assert read_levels(*sets, generated=-0.5, augmentation=darken) == values
    rows, numbers = (np.concatenate(parts) for parts in zip(*recorded, strict=True))
    rows, numbers = rows.reshape(-1, 70), numbers.reshape(-1, 70)  # training, held-out and generated images, twice
    assert len(rows) == 6 and (rows == np.arange(70)).all() and (numbers == numbers[0]).all()
    assert len(set(numbers[0])) == 70


def test_the_smaller_set_is_augmented_several_times():
    """With the same random numbers, equal images have equal mean logits."""

    def brighten(images: tf.Tensor, numbers: RandomNumbers) -> tf.Tensor:
        return images + numbers.uniform([1, 1, 1])

    large, small = (make_constant_images(np.full(size, 150), np.zeros(size)) for size in (70, 14))
    for sets in ((large, small), (small, large)):
        values = read_levels(*sets, generated=-0.5, augmentation=brighten)
        assert values[HELD_OUT_GAP] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("lead", "is_defined"), [(-0.4, False), (0.0, False), (0.05, False), (0.4, True)])
def test_the_ratio_is_undefined_for_a_small_lead_of_training_images(lead, is_defined):
    levels = make_levels(128)
    values = read_levels(
        make_constant_images(levels, LABELS), make_constant_images(levels, LABELS), levels.mean() / 127.5 - 1 - lead
    )
    assert values[HELD_OUT_GAP] == 0.0 and values[OVERFITTING] == (0.0 if is_defined else None)


@pytest.mark.parametrize(
    ("options", "group"),
    [
        ({"conditioning": "auxiliary_classifier", **PLAINEST_NETWORKS}, 1),
        ({"conditioning": "none", "discriminator_minibatch_statistics": 3}, 3),
    ],
)
def test_reading_does_not_change_the_state(options, group):
    state = make_state(tiny_config(**options), one_device())
    before = read_all_values(state)
    random = np.random.default_rng(0)
    sets = [LabeledImages(random.integers(0, 256, (n, 32, 32, 1), np.uint8), np.zeros(n, np.int32)) for n in (18, 3)]
    for held_out in sets:
        reader = OverfittingReader(state, sets[0], held_out, seed=0, group_size=group, augmentation=NO_AUGMENTATION)
        gap = reader()[HELD_OUT_GAP]
        assert reader()[HELD_OUT_GAP] == gap and (gap == 0.0) == (held_out is sets[0])
    assert find_differences(before, read_all_values(state)) == set()
