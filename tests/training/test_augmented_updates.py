"""Who is augmented in training, and with which random numbers."""

from __future__ import annotations

import ast
import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS, Augmentation, create_augmentation
from sagan_tf.cli.flags import config_to_flagfile
from sagan_tf.regularization import Regularizer
from sagan_tf.training.train import train
from tests.training.tiny import (
    PLAINEST_NETWORKS,
    make_trainer,
    make_updates,
    one_device,
    run_in_replica,
    tiny_config,
    two_replicas,
)

PACKAGE = pathlib.Path(__file__).parents[2] / "sagan_tf"
DRAW = tf.constant(0, tf.int64)


def note_draws(monkeypatch: pytest.MonkeyPatch, name: str = "noted", num_draws: int = 2) -> list[np.ndarray]:
    """Make an augmentation that changes nothing; returns the draws it gets, one array for each call."""
    noted: list[np.ndarray] = []

    def note(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.numpy_function(noted.append, [draws], [])]):
            return tf.identity(images)

    monkeypatch.setitem(AUGMENTATIONS, name, Augmentation(note, num_draws))
    return noted


def test_every_image_of_every_update_has_its_own_draws_however_the_batch_is_divided(monkeypatch: pytest.MonkeyPatch):
    noted, found = note_draws(monkeypatch), []
    for strategy, parts in ((one_device(), 1), (two_replicas(), 2)):
        config = tiny_config(**PLAINEST_NETWORKS, augment=("noted",), gradient_accumulation_steps=parts)
        make_trainer(config, strategy).train(2)
        found.append(np.unique(np.concatenate(noted), axis=0))
        assert len(found[-1]) == sum(map(len, noted)) == 2 * 3 * 4  # real and fake images, then those of the generator
        noted.clear()
    np.testing.assert_array_equal(*found)


def test_regularizers_change_images_by_other_draws_than_the_augmentation(monkeypatch: pytest.MonkeyPatch):
    """A consistency of images that are flipped where the augmentation flips them would compare an image with itself."""
    of_augmentation, of_consistency = note_draws(monkeypatch, "noted", 1), note_draws(monkeypatch, "flip", 1)
    weights = {"consistency_weight": 1.0, "fake_consistency_weight": 1.0}
    updates = make_updates(tiny_config(**PLAINEST_NETWORKS, augment=("noted",), **weights))
    run_in_replica(updates.discriminator_step, tf.zeros([4, 32, 32, 1]), tf.zeros([4], tf.int32), DRAW)
    augmented, changed = (np.unique(np.concatenate(one)) for one in (of_augmentation, of_consistency))
    assert len(augmented) == len(changed) == 8 and not np.intersect1d(augmented, changed).size


def test_the_generators_regularizers_have_other_numbers_than_the_augmentation(monkeypatch: pytest.MonkeyPatch):
    of_augmentation, of_regularizer = note_draws(monkeypatch, "noted", 1), []

    class Noting(Regularizer):
        def __call__(self, batch: Any) -> Any:
            # The stream of the first augmentation, if the numbers were the same.
            draws = batch.random_numbers.stream(0).stream(0).uniform([1])
            with tf.control_dependencies([tf.numpy_function(of_regularizer.append, [draws], [])]):
                return tf.constant(0.0), {}

    updates = make_updates(tiny_config(**PLAINEST_NETWORKS, augment=("noted",)))
    updates = dataclasses.replace(updates, generator_regularizers=(Noting(),))
    run_in_replica(updates.generator_step, tf.zeros([4, 32, 32, 1]), tf.zeros([4], tf.int32), DRAW)
    augmented, own = (np.unique(np.concatenate(one)) for one in (of_augmentation, of_regularizer))
    assert len(own) == 4 and not np.intersect1d(augmented, own).size


@pytest.mark.parametrize(("factor", "options"), [(0.0, {}), (0.5, {}), (0.0, {"ada_target": 0.5})])
def test_the_generator_learns_through_the_augmentation(
    monkeypatch: pytest.MonkeyPatch, factor: float, options: dict[str, Any]
):
    """The gradient is 0 behind an augmentation that erases all, unless its adaptive probability is 0 as at first."""
    scale = Augmentation(lambda images, draws: images * factor, num_draws=1)
    monkeypatch.setitem(AUGMENTATIONS, "scale", scale)
    config = tiny_config(**PLAINEST_NETWORKS, augment=("scale",), **options)
    images, labels = tf.zeros([4, 32, 32, 1]), tf.zeros([4], tf.int32)
    metrics = run_in_replica(make_updates(config).generator_step, images, labels, DRAW)
    assert (float(metrics["generator_gradient_norm"]) > 0) == (factor > 0 or bool(options))


def test_without_augmentation_nothing_is_added() -> None:
    images = tf.zeros([4, 32, 32, 1])
    assert create_augmentation(())(images, None) is images
    assert make_updates(tiny_config()).state.augment_probability is None


def test_sample_grids_and_evaluations_see_no_augmentation(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """A run augments where its two updates are traced, once each; nothing but updates and regularizers imports it."""
    traced = []
    monkeypatch.setitem(AUGMENTATIONS, "noted", Augmentation(lambda images, draws: traced.append(0) or images, 1))
    config = tiny_config(
        augment=("noted",), num_classes=0, dataset="fashion_mnist_10k", strategy="one_device", run_dir=str(tmp_path),
        num_steps=2, sample_every=1, log_every=1, **PLAINEST_NETWORKS,
    )  # fmt: skip
    train(config, config_to_flagfile)
    assert len(traced) == 2 and len(list((tmp_path / "samples").iterdir())) == 2
    imports = [
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sagan_tf.augmentation")
    ]
    assert set(imports) == {"augmentation", "regularization", "training"}
