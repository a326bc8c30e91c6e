"""A small classifier of Fashion-MNIST's ten classes with packaged weights: an extractor for data unlike ImageNet.

`tools/train_fashion_mnist_classifier.py` trained it on the 10,000 packaged training images alone, and reports its
accuracy on the 2,000 packaged reference images.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import io

import numpy as np

from sagan_tf.environment.keras_settings import keras_defaults
from sagan_tf.keras_backend import keras

RESOLUTION = 32
NUM_CLASSES = 10
NUM_FEATURES = 64
"""Length of a feature vector, the input of the last layer."""

WEIGHTS = "fashion_mnist_classifier.npz"
"""The packaged file: float16 arrays `weight_00` ... in the order of the model's weights."""


@keras_defaults()
def build_classifier(dropout: float = 0.0) -> keras.Model:
    """Build the network without its weights.

    Args:
        dropout: Fraction of features that are dropped in training.

    Returns:
        A model from images float32 `[batch, 32, 32, 1]` in [-1, 1] to features float32 `[batch, 64]`, each at least 0,
        and logits float32 `[batch, 10]`.
    """
    images = x = keras.Input((RESOLUTION, RESOLUTION, 1), name="images")
    for stage, filters in enumerate((24, 48, 96)):
        for index in range(2):
            x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv_{stage}_{index}")(x)
            x = keras.layers.BatchNormalization(name=f"norm_{stage}_{index}")(x)
            x = keras.layers.ReLU(name=f"relu_{stage}_{index}")(x)
        x = keras.layers.MaxPooling2D(name=f"pool_{stage}")(x) if stage < 2 else x
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    features = keras.layers.Dense(NUM_FEATURES, "relu", name="features")(x)
    logits = keras.layers.Dense(NUM_CLASSES, name="logits")(keras.layers.Dropout(dropout, name="dropout")(features))
    return keras.Model(images, [features, logits], name="fashion_mnist_classifier")


def read_packaged_weights() -> bytes:
    """Return the content of the packaged file."""
    return importlib.resources.files("sagan_tf.features").joinpath(WEIGHTS).read_bytes()


def load_classifier() -> tuple[keras.Model, str]:
    """Load the classifier with its packaged weights.

    Returns:
        The classifier; the digest of the packaged file.
    """
    content = read_packaged_weights()
    classifier = build_classifier()
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        classifier.set_weights([arrays[name].astype(np.float32) for name in sorted(arrays)])
    return classifier, hashlib.sha256(content).hexdigest()[:16]
