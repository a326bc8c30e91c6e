"""A small classifier that is trained from the beginning to measure how useful images are as training data.

Its protocol is fixed, so that accuracies can be compared: the same network, number of updates, batches, optimizer and
seed for every set of images, and no augmentation. It is independent of the extractor.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sagan_tf.environment.keras_settings import keras_defaults
from sagan_tf.keras_backend import keras
from sagan_tf.progress import progress_bar

BATCH_SIZE = 128
MIN_UPDATES = 200
IMAGES_PER_UPDATE = 10
"""Number of generated images for each update beyond `MIN_UPDATES`: each image is used 13 times."""
LEARNING_RATE = 1e-3
"""Learning rate of Adam at the first update; it falls to 0 along a cosine."""
WIDTHS = (32, 64, 128)
"""Filters of the stages; later stages have the last width."""
MIN_SIDE_PX = 4
"""Each stage halves the height and width of its input, until they are at most this."""
_PREDICTION_BATCH_SIZE = 500


@keras_defaults()
def build_classifier(image_shape: tuple[int, int, int], num_classes: int, seed: int = 0) -> keras.Model:
    """Build the network without training it.

    Args:
        image_shape: Height, width and channels of the images.
        num_classes: Number of classes.
        seed: Seed of the initial weights.

    Returns:
        A model from images uint8 `[batch, height, width, channels]` to logits float32 `[batch, num_classes]`.
    """
    images = keras.Input(image_shape, dtype="uint8", name="images")
    x = keras.layers.Rescaling(1.0 / 127.5, -1.0, name="scale")(images)
    side, stage = max(image_shape[:2]), 0
    while side > MIN_SIDE_PX or not stage:
        initializer = keras.initializers.HeUniform(seed=seed + stage)
        x = keras.layers.Conv2D(
            WIDTHS[min(stage, len(WIDTHS) - 1)],
            3,
            strides=2,
            padding="same",
            use_bias=False,
            kernel_initializer=initializer,
            name=f"conv_{stage}",
        )(x)
        # A momentum of 0.9 forgets the initial statistics within the first of the updates.
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"norm_{stage}")(x)
        x = keras.layers.ReLU(name=f"relu_{stage}")(x)
        side, stage = -(-side // 2), stage + 1
    x = keras.layers.Flatten(name="flatten")(x)
    initializer = keras.initializers.GlorotUniform(seed=seed + stage)
    logits = keras.layers.Dense(num_classes, kernel_initializer=initializer, name="logits")(x)
    return keras.Model(images, logits, name="classifier")


def train_classifier(
    images: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    *,
    num_updates: int,
    seed: int = 0,
    description: str = "classifier",
) -> keras.Model:
    """Train a classifier on images.

    Args:
        images: uint8 `[n, height, width, channels]`.
        labels: Integers `[n]` below `num_classes`.
        num_classes: Number of classes.
        num_updates: Number of updates.
        seed: Seed of the initial weights and of the order of the images.
        description: Text before the progress bar.

    Returns:
        The trained classifier. On a CPU, it is a function of the arguments.
    """
    classifier = build_classifier(images.shape[1:], num_classes, seed)
    with keras_defaults():
        schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, num_updates)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        classifier.compile(keras.optimizers.Adam(schedule), loss, jit_compile=False)
        with progress_bar(num_updates, unit="update", description=description) as bar:
            for rows in draw_rows(len(images), num_updates, seed):
                classifier.train_on_batch(images[rows], labels[rows])
                bar.update()
    return classifier


def count_updates(num_images: int) -> int:
    """Return the number of updates for a comparison of sets with `num_images` images each.

    It is the same for both sets together, which thus gain by their images alone and not by a longer training.
    """
    return max(MIN_UPDATES, num_images // IMAGES_PER_UPDATE)


def draw_rows(count: int, num_updates: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the indices of the images of each batch: all images in random order, again and again."""
    random = np.random.default_rng(seed)
    rows: np.ndarray = np.zeros(0, np.int64)
    for _ in range(num_updates):
        while len(rows) < BATCH_SIZE:
            rows = np.concatenate([rows, random.permutation(count)])
        yield rows[:BATCH_SIZE]
        rows = rows[BATCH_SIZE:]


def classify(classifier: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the most likely class of each image, int64 `[n]`."""
    return classifier.predict(images, batch_size=_PREDICTION_BATCH_SIZE, verbose=0).argmax(1)
