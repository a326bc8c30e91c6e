"""The classification accuracy score: how useful generated images are as training data of a classifier.

References: Ravuri and Vinyals, Classification Accuracy Score for Conditional Generative Models, NeurIPS 2019 (trained
on generated images, tested on real ones); Shmelkov et al., How good is my GAN?, ECCV 2018 (the same as GAN-train, and
GAN-test: trained on real images, tested on generated ones).
"""

from __future__ import annotations

import functools

import numpy as np

from sagan_tf.evaluation import image_classifier
from sagan_tf.evaluation.class_values import ClassValues
from sagan_tf.features.statistics import ImageSetStatistics

GAN_TRAIN, REAL, BOTH, GAN_TEST = "gan_train", "real", "both", "gan_test"
"""Names of the accuracies, by the training images: generated images, as many real images, and both together, each
tested on held-out real images; and real images, tested on generated ones."""
WORST = "worst"
"""Lowest GAN-train accuracy of a class."""


def describe_classifier() -> str:
    """Return the description of the protocol, for records."""
    widths = ", ".join(map(str, image_classifier.WIDTHS))
    return (
        f"accuracy of a convolutional classifier (widths {widths}, stride 2, batch normalization; "
        f"an update of {image_classifier.BATCH_SIZE} images for every {image_classifier.IMAGES_PER_UPDATE} generated "
        f"images, at least {image_classifier.MIN_UPDATES}; Adam, cosine decay from {image_classifier.LEARNING_RATE:g}, "
        "seed 0) trained on generated, as many real, or both sets of images and tested on held-out images; "
        "gan_test: trained on real and tested on generated images"
    )


def compute_classification_accuracy(
    images: ImageSetStatistics, reference: ImageSetStatistics, held_out: ImageSetStatistics
) -> ClassValues:
    """Train three classifiers and return their accuracies, over all images and of each class.

    Args:
        images: Generated images with labels.
        reference: Real images to train on; as many are used as there are generated images.
        held_out: Real images to test on.
    """
    count = min(len(images.images), len(reference.images))
    num_updates = image_classifier.count_updates(count)
    generated = images.images[:count], images.image_labels[:count]
    real = reference.images[:count], reference.image_labels[:count]
    test = held_out.images, held_out.image_labels
    num_classes = 1 + max(int(labels.max()) for _, labels in (generated, real, test))
    train = functools.partial(image_classifier.train_classifier, num_classes=num_classes, num_updates=num_updates)
    both = [np.concatenate(parts) for parts in zip(generated, real, strict=True)]
    is_correct, labels_by_name = {}, {}
    for name, training_set, test_set in ((GAN_TRAIN, generated, test), (REAL, real, test), (BOTH, both, test)):
        classifier = train(*training_set, description=f"classifier ({name})")
        tests = {name: test_set} | ({GAN_TEST: generated} if name == REAL else {})
        for test_name, (test_images, labels) in tests.items():
            is_correct[test_name] = image_classifier.classify(classifier, test_images) == labels
            labels_by_name[test_name] = labels
    names = (GAN_TRAIN, REAL, BOTH, GAN_TEST)
    columns = {name: compute_class_means(is_correct[name], labels_by_name[name], num_classes) for name in names}
    worst_class = int(np.nanargmin(columns[GAN_TRAIN]))
    summary = {name: float(is_correct[name].mean()) for name in names}
    return ClassValues(summary | {WORST: float(columns[GAN_TRAIN][worst_class])}, columns, worst_class)


def compute_class_means(values: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the mean value of each class, float64 `[num_classes]`; NaN for a class without images."""
    counts = np.bincount(labels, minlength=num_classes)
    sums = np.bincount(labels, weights=values, minlength=num_classes)
    return np.divide(sums, counts, out=np.full(num_classes, np.nan), where=counts > 0)
