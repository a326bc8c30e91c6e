"""The packaged classifier: accuracy, outputs, and a digest of its weights."""

import io
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.data.images.preprocessing import scale_to_unit_range
from sagan_tf.data.sources.packaged import load_arrays, resize_gray_images
from sagan_tf.features import fashion_mnist_classifier as module


@pytest.fixture(scope="module")
def classifier():
    return module.load_classifier()[0]


def images(count: int) -> tuple[tf.Tensor, np.ndarray]:
    """Return the first packaged images outside its training set, float32 [count, 32, 32, 1], and their labels."""
    arrays, labels, _ = load_arrays("reference")
    return scale_to_unit_range(resize_gray_images(arrays[:count], module.RESOLUTION)), labels[:count]


def test_accuracy_on_images_outside_its_training_set(classifier):
    """Shirts are the hardest class."""
    batch, labels = images(2000)
    agrees = classifier.predict(batch, batch_size=100, verbose=0)[1].argmax(1) == labels
    assert len(labels) == 2000 and np.mean(agrees) >= 0.9
    assert min(np.mean(agrees[labels == label]) for label in range(module.NUM_CLASSES)) >= 0.5


def test_features_and_logits(classifier):
    """They do not depend on the other images of a batch."""
    batch, _ = images(5)
    features, logits = classifier(batch, training=False)
    assert (features.shape, logits.shape) == ((5, module.NUM_FEATURES), (5, module.NUM_CLASSES))
    assert (features.dtype, logits.dtype) == (tf.float32, tf.float32)
    assert features.numpy().min() >= 0.0 and len(np.unique(features, axis=0)) == 5
    kernel, bias = classifier.get_layer("logits").get_weights()
    np.testing.assert_allclose(features.numpy() @ kernel + bias, logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(classifier(batch[2:3], training=False)[0], features[2:3], atol=1e-4)


def test_the_packaged_file_is_small_and_has_float16_weights():
    content = module.read_packaged_weights()
    assert len(content) <= 1_000_000
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        assert {arrays[name].dtype for name in arrays} == {np.dtype(np.float16)}
        shapes = [arrays[name].shape for name in sorted(arrays)]
    assert shapes == [weight.shape for weight in module.build_classifier().weights]


def change_weight(content: bytes, name: str) -> bytes:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        changed: dict[str, Any] = dict(arrays)
    buffer = io.BytesIO()
    np.savez(buffer, **(changed | {name: changed[name] + np.float16(1.0)}))
    return buffer.getvalue()


def test_the_digest_depends_on_the_file(classifier, monkeypatch):
    content, digest = change_weight(module.read_packaged_weights(), "weight_00"), module.load_classifier()[1]
    assert module.load_classifier()[1] == digest
    monkeypatch.setattr(module, "read_packaged_weights", lambda: content)
    changed, changed_digest = module.load_classifier()
    assert changed_digest != digest and len(changed_digest) == len(digest) == 16
    np.testing.assert_allclose(changed.weights[0] - classifier.weights[0], 1.0, atol=1e-2)
    np.testing.assert_array_equal(changed.weights[-1], classifier.weights[-1])
