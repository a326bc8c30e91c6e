"""The classification accuracy score: good, mislabeled and one-class images, and the classifier that it trains."""

import functools

import numpy as np
import pytest

from sagan_tf.evaluation import image_classifier
from sagan_tf.evaluation.class_values import ClassValues
from sagan_tf.evaluation.classification_accuracy import compute_class_means, compute_classification_accuracy
from sagan_tf.features.statistics import ImageSetStatistics


def draw_images(count: int, seed: int, side: int = 8, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy images of three classes, in which another third of the rows is bright."""
    random = np.random.default_rng(seed)
    labels: np.ndarray = (np.arange(count) % 3).astype(np.int32)
    images = random.integers(0, 100, (count, side, side, channels))
    for index, label in enumerate(labels):
        images[index, label * side // 3 : (label + 1) * side // 3] += 120
    return images.astype(np.uint8), labels


def compute(generated: tuple[np.ndarray, np.ndarray]) -> ClassValues:
    sets = (generated, draw_images(150, 1), draw_images(90, 2))
    statistics = (ImageSetStatistics(images=images, image_labels=labels) for images, labels in sets)
    return compute_classification_accuracy(*statistics)


@pytest.fixture
def trained_on(monkeypatch):
    """Train for few updates, and return a list that receives the number of images of each training set."""
    numbers: list[int] = []
    train = image_classifier.train_classifier

    def count_and_train(images, *arguments, **options):
        numbers.append(len(images))
        return train(images, *arguments, **options)

    monkeypatch.setattr(image_classifier, "count_updates", lambda num_images: 40)
    monkeypatch.setattr(image_classifier, "train_classifier", count_and_train)
    return numbers


def test_good_images_are_as_useful_as_real_ones(trained_on):
    """Only as many real images are used as there are generated images."""
    result = compute(draw_images(120, 3))
    assert trained_on == [120, 120, 240]
    assert list(result.summary) == ["gan_train", "real", "both", "gan_test", "worst"]
    assert min(result.summary.values()) > 0.95


def test_images_with_exchanged_labels_are_useless_in_their_classes(trained_on):
    """Classes 1 and 2 are exchanged: the classifier of real images finds out, and is itself right."""
    images, labels = draw_images(120, 3)
    result = compute((images, np.array([0, 2, 1], np.int32)[labels]))
    assert result.worst_class in (1, 2)
    assert result.summary["worst"] < 0.1 and result.summary["real"] > 0.95
    assert result.summary["gan_train"] == pytest.approx(1 / 3, abs=0.1)
    assert result.summary["gan_test"] == pytest.approx(1 / 3, abs=0.1)
    assert result.columns["gan_train"][0] > 0.9 > 0.1 > result.columns["gan_test"][1:].max()


@pytest.mark.parametrize(("side", "channels"), [(4, 1), (13, 3)])
def test_a_classifier_is_a_function_of_images_and_seed(side, channels):
    images, labels = draw_images(50, 1, side, channels)
    train = functools.partial(image_classifier.train_classifier, images, labels, 3, num_updates=3)
    first, again, other = (train(seed=seed).get_weights() for seed in (5, 5, 6))
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_every_image_is_used_equally_often():
    assert image_classifier.count_updates(300) == 200 and image_classifier.count_updates(50_000) == 5000
    rows = np.concatenate(list(image_classifier.draw_rows(100, 25, seed=1)))
    assert len(rows) == 25 * image_classifier.BATCH_SIZE
    assert set(np.bincount(rows)) == {32} and not np.array_equal(rows[:100], rows[100:200])


def test_class_means_by_hand():
    found = compute_class_means(np.array([True, False, True, True]), np.array([0, 0, 2, 2]), 4)
    np.testing.assert_array_equal(found, [0.5, np.nan, 1.0, np.nan])
