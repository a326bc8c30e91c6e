"""Who is augmented in training, and with which random numbers."""

from __future__ import annotations

import ast
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS, Augmentation, create_augmentation
from sagan_tf.flags import config_to_flagfile
from sagan_tf.training.session import train
from tests.training.tiny import (
    PLAIN_NETWORKS,
    make_trainer,
    make_updates,
    one_device,
    run_in_replica,
    tiny_config,
    two_replicas,
)

PACKAGE = pathlib.Path(__file__).parents[2] / "sagan_tf"
DRAW = tf.constant(0, tf.int64)


def note_draws(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Make an augmentation `noted` that changes nothing; returns the draws it gets, one array for each call."""
    noted: list[np.ndarray] = []

    def note(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.numpy_function(noted.append, [draws], [])]):
            return tf.identity(images)

    monkeypatch.setitem(AUGMENTATIONS, "noted", Augmentation(note, num_draws=2))
    return noted


def test_every_image_of_every_update_has_its_own_draws_however_the_batch_is_divided(monkeypatch: pytest.MonkeyPatch):
    noted, found = note_draws(monkeypatch), []
    for strategy, parts in ((one_device(), 1), (two_replicas(), 2)):
        config = tiny_config(**PLAIN_NETWORKS, augment=("noted",), gradient_accumulation_steps=parts)
        make_trainer(config, strategy).train(2)
        found.append(np.unique(np.concatenate(noted), axis=0))
        assert len(found[-1]) == sum(map(len, noted)) == 2 * 3 * 4  # real and fake images, then those of the generator
        noted.clear()
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("factor", "options"), [(0.0, {}), (0.5, {}), (0.0, {"ada_target": 0.5})])
def test_the_generator_learns_through_the_augmentation(
    monkeypatch: pytest.MonkeyPatch, factor: float, options: dict[str, Any]
):
    """The gradient is 0 behind an augmentation that erases all, unless its adaptive probability is 0 as at first."""
    scale = Augmentation(lambda images, draws: images * factor, num_draws=1)
    monkeypatch.setitem(AUGMENTATIONS, "scale", scale)
    config = tiny_config(**PLAIN_NETWORKS, augment=("scale",), **options)
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
        num_steps=2, sample_every=1, log_every=1, **PLAIN_NETWORKS,
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
