"""Tests of the augmentation in training and its random numbers."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS, Augmentation
from sagan_tf.regularization import Regularizer
from sagan_tf.training.train import train
from tests.training.tiny import (
    PLAINEST_NETWORKS,
    make_trainer,
    make_updates,
    one_device,
    run_config,
    run_in_replica,
    tiny_config,
    two_replicas,
)

DRAW = tf.constant(0, tf.int64)


def record_draws(monkeypatch: pytest.MonkeyPatch, name: str = "record", num_draws: int = 2) -> list[np.ndarray]:
    """Register an augmentation that changes nothing; return the list of its draws."""
    recorded: list[np.ndarray] = []

    def record(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.numpy_function(recorded.append, [draws], [])]):
            return tf.identity(images)

    monkeypatch.setitem(AUGMENTATIONS, name, Augmentation(record, num_draws))
    return recorded


@pytest.mark.slow
def test_each_image_of_each_update_has_its_own_draws_for_any_division_of_the_batch(monkeypatch):
    recorded, found = record_draws(monkeypatch), []
    for strategy, parts in ((one_device(), 1), (two_replicas(), 2)):
        config = tiny_config(**PLAINEST_NETWORKS, augment=("record",), gradient_accumulation_steps=parts)
        make_trainer(config, strategy).train(2)
        found.append(np.unique(np.concatenate(recorded), axis=0))
        assert (
            len(found[-1]) == sum(map(len, recorded)) == 2 * 3 * 4
        )  # real and fake images, then those of the generator
        recorded.clear()
    np.testing.assert_array_equal(*found)


def test_regularizers_use_other_draws_than_the_augmentation(monkeypatch):
    """With equal draws, the regularizer would compare an image with itself."""
    augmentation_draws, consistency_draws = (
        record_draws(monkeypatch, "record", 1),
        record_draws(monkeypatch, "flip", 1),
    )
    weights = {"consistency_weight": 1.0, "fake_consistency_weight": 1.0}
    updates = make_updates(tiny_config(**PLAINEST_NETWORKS, augment=("record",), **weights))
    run_in_replica(updates.discriminator_step, tf.zeros([4, 32, 32, 1]), tf.zeros([4], tf.int32), DRAW)
    augmented, changed = (np.unique(np.concatenate(draws)) for draws in (augmentation_draws, consistency_draws))
    assert len(augmented) == len(changed) == 8 and not np.intersect1d(augmented, changed).size


def test_generator_regularizers_use_other_draws_than_the_augmentation(monkeypatch):
    augmentation_draws = record_draws(monkeypatch, "record", 1)
    regularizer_draws: list[np.ndarray] = []

    class RecordingRegularizer(Regularizer):
        def __call__(self, batch: Any) -> Any:
            # This would be the stream of the first augmentation if the numbers were the same.
            draws = batch.random_numbers.stream(0).stream(0).uniform([1])
            with tf.control_dependencies([tf.numpy_function(regularizer_draws.append, [draws], [])]):
                return tf.constant(0.0), {}

    updates = make_updates(tiny_config(**PLAINEST_NETWORKS, augment=("record",)))
    updates = dataclasses.replace(updates, generator_regularizers=(RecordingRegularizer(),))
    run_in_replica(updates.generator_step, tf.zeros([4, 32, 32, 1]), tf.zeros([4], tf.int32), DRAW)
    augmented, own = (np.unique(np.concatenate(draws)) for draws in (augmentation_draws, regularizer_draws))
    assert len(own) == 4 and not np.intersect1d(augmented, own).size


@pytest.mark.parametrize(("factor", "options"), [(0.0, {}), (0.5, {}), (0.0, {"ada_target": 0.5})])
def test_the_generator_learns_through_the_augmentation(monkeypatch, factor, options):
    """An augmentation that erases images has gradient 0, unless its probability is 0."""
    scale = Augmentation(lambda images, draws: images * factor, num_draws=1)
    monkeypatch.setitem(AUGMENTATIONS, "scale", scale)
    config = tiny_config(**PLAINEST_NETWORKS, augment=("scale",), **options)
    images, labels = tf.zeros([4, 32, 32, 1]), tf.zeros([4], tf.int32)
    metrics = run_in_replica(make_updates(config).generator_step, images, labels, DRAW)
    assert (float(metrics["generator_gradient_norm"]) > 0) == (factor > 0 or bool(options))


def test_samples_are_not_augmented(tmp_path, monkeypatch):
    """Only the two updates are, and health readings, which are off here."""
    traced = []

    def record(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        traced.append(images.shape)
        return images

    monkeypatch.setitem(AUGMENTATIONS, "record", Augmentation(record, 1))
    config = run_config(tmp_path, 2, augment=("record",), sample_every=1, health_every=0, **PLAINEST_NETWORKS)
    train(config)
    assert len(traced) == 2 and len(list((tmp_path / "samples").iterdir())) == 2
