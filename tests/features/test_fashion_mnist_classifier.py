"""The packaged classifier: accuracy, outputs, and a digest of its weights."""

from __future__ import annotations

import io
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.data.images.preprocessing import scale_to_unit_range
from sagan_tf.data.sources.packaged import load_arrays, resize_gray_images
from sagan_tf.features import fashion_mnist_classifier
from sagan_tf.features.fashion_mnist_classifier import (
    NUM_CLASSES,
    NUM_FEATURES,
    RESOLUTION,
    build_classifier,
    load_classifier,
    read_packaged_weights,
)

MAX_FILE_BYTES = 1_000_000


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    return load_classifier()[0]


def images(count: int) -> tuple[tf.Tensor, np.ndarray]:
    """Return the first packaged images outside its training set, float32 [count, 32, 32, 1], and their labels."""
    arrays, labels, _ = load_arrays("reference")
    return scale_to_unit_range(resize_gray_images(arrays[:count], RESOLUTION)), labels[:count]


def test_accuracy_on_images_outside_its_training_set(classifier: keras.Model) -> None:
    batch, labels = images(2000)
    assert len(labels) == 2000
    _, logits = classifier.predict(batch, batch_size=100, verbose=0)
    assert np.mean(logits.argmax(1) == labels) >= 0.9


def test_accuracy_of_every_class(classifier: keras.Model) -> None:
    """Shirts are the hardest class."""
    batch, labels = images(600)
    predicted = classifier.predict(batch, batch_size=100, verbose=0)[1].argmax(1)
    assert [label for label in range(NUM_CLASSES) if np.mean(predicted[labels == label] == label) < 0.5] == []


@pytest.mark.parametrize("count", [1, 5])
def test_features_and_logits(classifier: keras.Model, count: int) -> None:
    features, logits = classifier(images(count)[0], training=False)
    assert (features.shape, logits.shape) == ((count, NUM_FEATURES), (count, NUM_CLASSES))
    assert (features.dtype, logits.dtype) == (tf.float32, tf.float32)
    assert features.numpy().min() >= 0.0
    kernel, bias = classifier.get_layer("logits").get_weights()
    np.testing.assert_allclose(features.numpy() @ kernel + bias, logits, rtol=1e-4, atol=1e-4)


def test_features_of_images_differ(classifier: keras.Model) -> None:
    features = classifier(images(50)[0], training=False)[0].numpy()
    assert len(np.unique(features, axis=0)) == 50
    assert np.mean(features.std(0) > 0.0) > 0.5


def test_images_of_a_batch_are_independent(classifier: keras.Model) -> None:
    batch, _ = images(6)
    alone = classifier(batch[2:3], training=False)[0]
    np.testing.assert_allclose(classifier(batch, training=False)[0][2:3], alone, atol=1e-4)


def test_the_packaged_file_is_small_and_has_float16_weights() -> None:
    content = read_packaged_weights()
    assert len(content) <= MAX_FILE_BYTES
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        assert {arrays[name].dtype for name in arrays} == {np.dtype(np.float16)}
        shapes = [arrays[name].shape for name in sorted(arrays)]
    assert shapes == [weight.shape for weight in build_classifier().weights]


def test_dropout_has_no_effect_in_inference_mode() -> None:
    model = build_classifier(dropout=0.7)
    assert model.get_layer("dropout").rate == 0.7
    batch, _ = images(3)
    first, second = (model(batch, training=False)[1].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)


def change_weight(content: bytes, name: str) -> bytes:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        changed: dict[str, Any] = dict(arrays)
    changed[name] = changed[name] + np.float16(1.0)
    buffer = io.BytesIO()
    np.savez(buffer, **changed)
    return buffer.getvalue()


def test_the_digest_depends_on_the_file(classifier: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    content, digest = read_packaged_weights(), load_classifier()[1]
    assert load_classifier()[1] == digest
    changed_content = change_weight(content, "weight_00")
    monkeypatch.setattr(fashion_mnist_classifier, "read_packaged_weights", lambda: changed_content)
    changed, changed_digest = load_classifier()
    assert changed_digest != digest
    assert len(changed_digest) == len(digest) == 16
    np.testing.assert_allclose(changed.weights[0] - classifier.weights[0], 1.0, atol=1e-2)
    np.testing.assert_array_equal(changed.weights[-1], classifier.weights[-1])
