"""The packaged classifier: that it classifies, what it gives, and that its name follows its weights."""

from __future__ import annotations

import io
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.data.images.preprocessing import scale_to_unit_range
from sagan_tf.data.sources.packaged import load_arrays, resize_grey_images
from sagan_tf.features import fashion_mnist_classifier
from sagan_tf.features.fashion_mnist_classifier import (
    FEATURES,
    NUM_CLASSES,
    RESOLUTION,
    build_classifier,
    load_classifier,
    packaged_weights,
)

LARGEST_FILE = 1_000_000


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    return load_classifier()[0]


def images(count: int) -> tuple[tf.Tensor, np.ndarray]:
    """The first packaged images that it was not trained on, as float32 [count, 32, 32, 1], and their labels."""
    pictures, labels, _ = load_arrays("reference")
    return scale_to_unit_range(resize_grey_images(pictures[:count], RESOLUTION)), labels[:count]


def test_it_knows_nine_of_ten_images_that_it_was_not_trained_on(classifier: keras.Model) -> None:
    pictures, labels = images(2000)
    assert len(labels) == 2000
    _, logits = classifier.predict(pictures, batch_size=100, verbose=0)
    assert np.mean(logits.argmax(1) == labels) >= 0.9


def test_every_class_is_known(classifier: keras.Model) -> None:
    """Not only those that look like nothing else: shirts are the hardest."""
    pictures, labels = images(600)
    found = classifier.predict(pictures, batch_size=100, verbose=0)[1].argmax(1)
    assert {one for one in range(NUM_CLASSES) if np.mean(found[labels == one] == one) < 0.5} == set()


@pytest.mark.parametrize("count", [1, 5])
def test_what_it_gives(classifier: keras.Model, count: int) -> None:
    features, logits = classifier(images(count)[0], training=False)
    assert (features.shape, logits.shape) == ((count, FEATURES), (count, NUM_CLASSES))
    assert (features.dtype, logits.dtype) == (tf.float32, tf.float32)
    assert features.numpy().min() >= 0.0
    kernel, bias = classifier.get_layer("logits").get_weights()
    np.testing.assert_allclose(features.numpy() @ kernel + bias, logits, rtol=1e-4, atol=1e-4)


def test_features_tell_images_apart(classifier: keras.Model) -> None:
    features = classifier(images(50)[0], training=False)[0].numpy()
    assert len(np.unique(features, axis=0)) == 50
    assert np.mean(features.std(0) > 0.0) > 0.5


def test_images_of_a_batch_do_not_meet(classifier: keras.Model) -> None:
    pictures, _ = images(6)
    alone = classifier(pictures[2:3], training=False)[0]
    np.testing.assert_allclose(classifier(pictures, training=False)[0][2:3], alone, atol=1e-4)


def test_the_file_is_small_and_holds_half_precision() -> None:
    content = packaged_weights()
    assert len(content) <= LARGEST_FILE
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        assert {arrays[name].dtype for name in arrays} == {np.dtype(np.float16)}
        shapes = [arrays[name].shape for name in sorted(arrays)]
    assert shapes == [weight.shape for weight in build_classifier().weights]


def test_dropout_is_for_training_alone() -> None:
    model = build_classifier(dropout=0.7)
    assert model.get_layer("dropout").rate == 0.7
    pictures, _ = images(3)
    first, again = (model(pictures, training=False)[1].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)


def with_changed_weight(content: bytes, name: str) -> bytes:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        changed: dict[str, Any] = dict(arrays)
    changed[name] = changed[name] + np.float16(1.0)
    buffer = io.BytesIO()
    np.savez(buffer, **changed)
    return buffer.getvalue()


def test_the_digest_is_another_when_the_file_is(classifier: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    content, digest = packaged_weights(), load_classifier()[1]
    assert load_classifier()[1] == digest
    changed = with_changed_weight(content, "weight_00")
    monkeypatch.setattr(fashion_mnist_classifier, "packaged_weights", lambda: changed)
    other, other_digest = load_classifier()
    assert other_digest != digest
    assert len(other_digest) == len(digest) == 16
    np.testing.assert_allclose(other.weights[0] - classifier.weights[0], 1.0, atol=1e-2)
    np.testing.assert_array_equal(other.weights[-1], classifier.weights[-1])
