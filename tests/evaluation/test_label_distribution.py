"""Labels in the proportions of a reference: class counts, draws of labels, and the warning."""

import dataclasses
import logging

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.data.image_sets import open_square_images
from sagan_tf.errors import UserError
from sagan_tf.evaluation.evaluator import Evaluator
from sagan_tf.evaluation.label_distribution import count_classes, match_classes, warn_if_unbalanced
from sagan_tf.evaluation.metrics import find_metrics
from sagan_tf.evaluation.reference_store import find_reference
from sagan_tf.features.extraction import Extraction
from sagan_tf.generation.latents import LatentSampler
from sagan_tf.networks import build_generator
from tests.evaluation.test_evaluator import CLASSES, CONFIG, evaluator, extractor, reference, write_images
from tests.training.tiny import one_device


def test_counts_are_in_the_order_of_the_classes_of_the_generator():
    reordered = reference(30, 6, 4, names=("cherry", "apple", "banana"))
    assert count_classes(CLASSES, reordered) == (6, 4, 30)
    assert count_classes(("0", "1", "2"), reordered) == (30, 6, 4)
    assert count_classes(CLASSES, reference(30, 6)) == (30, 6, 0)


@pytest.mark.parametrize(
    ("class_names", "reference_class_names"),
    [((), CLASSES), (CLASSES, ()), (CLASSES, ("apple", "pear")), (CLASSES[:2], CLASSES)],
)
def test_different_classes_are_rejected(class_names, reference_class_names):
    with pytest.raises(UserError, match="evaluation_labels"):
        match_classes(class_names, reference_class_names, "real")


def test_labels_are_drawn_in_proportion():
    """Labels depend on seed and draw number, and the latents are those of uniform labels."""
    uniform = LatentSampler(3, 4, 3, 6000)
    sampler = dataclasses.replace(uniform, class_counts=(70_000, 0, 30_000))
    latents, labels = sampler.draw(tf.constant(1, tf.int64))
    np.testing.assert_array_equal(latents, uniform.draw(tf.constant(1, tf.int64))[0])
    assert labels.dtype == tf.int32
    # The standard error is sqrt(0.7 * 0.3 / 6000) = 0.006.
    np.testing.assert_allclose(np.bincount(labels, minlength=3) / 6000, [0.7, 0.0, 0.3], atol=0.03)
    np.testing.assert_array_equal(labels, sampler.draw(tf.constant(1, tf.int64))[1])
    assert (labels.numpy() != sampler.draw(tf.constant(2, tf.int64))[1].numpy()).any()


@pytest.mark.parametrize(("counts", "expected"), [((20, 20, 20), 0), ((26, 17, 17), 0), ((90, 45, 45), 1), ((9,), 1)])
def test_an_unbalanced_reference_gives_a_warning(counts, expected, caplog):
    with caplog.at_level(logging.WARNING, logger="sagan_tf"):
        warn_if_unbalanced(CLASSES, reference(*counts))
        warn_if_unbalanced((), reference(*counts))
        warn_if_unbalanced(("pear",), reference(*counts))
    assert caplog.text.count("--evaluation_labels=reference") == expected


def test_a_random_sample_of_balanced_classes_gives_no_warning(caplog):
    """The total variation distance is 0.18, as expected with 5 images of each class."""
    names = tuple(f"class {number}" for number in range(200))
    counts = np.random.default_rng(0).multinomial(1000, [1 / 200] * 200)
    with caplog.at_level(logging.WARNING, logger="sagan_tf"):
        warn_if_unbalanced(names, reference(*counts, names=names))
    assert not caplog.text


def test_labels_of_generated_images_and_their_record():
    """Metrics get the drawn labels, which do not depend on the batch size, and the record has their distribution."""
    network, records = build_generator(CONFIG), {}
    for labels in ("uniform", "reference"):
        extraction, metrics = Extraction(extractor(), one_device(), 16), find_metrics(["label_agreement"])
        labeled = Evaluator(extraction, metrics, reference(0, 40), labels)
        records[labels] = labeled.evaluate_generator(network, CONFIG, CLASSES, 40, seed=0).to_record()
        assert records[labels]["evaluation_labels"] == labels and records[labels]["precision"] == "float32"
    assert records["uniform"]["label_agreement"] != records["reference"]["label_agreement"]
    for batch_size in (7, 16):
        extraction = Extraction(extractor(), one_device(), batch_size)
        batches = extraction.extract_from_generator(network, CONFIG.latent_dim, 3, 20, 0, (0, 40, 0))
        assert np.concatenate([batch.labels for batch in batches]).tolist() == [1] * 20
    unconditional = dataclasses.replace(CONFIG, conditioning="none", num_classes=0)
    result = evaluator("is").evaluate_generator(build_generator(unconditional), unconditional, (), 8, seed=0)
    assert "evaluation_labels" not in result.to_record()
    with pytest.raises(UserError, match="evaluation_labels"):
        labeled.check_generator(unconditional, (), 8, seed=0)


def test_class_counts_are_stored_with_a_reference(tmp_path):
    """A file of an earlier version has no class counts: its stored labels are counted."""
    source = open_square_images(write_images(tmp_path / "images", 4))
    extraction = Extraction(extractor(), one_device(), 5)
    for _ in range(2):
        assert count_classes(CLASSES, find_reference("x", source, extraction, str(tmp_path / "kept"))) == (4, 4, 4)
    (path,) = (tmp_path / "kept").iterdir()
    with np.load(path) as arrays:
        content = dict(arrays)
    del content["class_counts"]
    with path.open("wb") as file:
        np.savez(file, **content)
    assert count_classes(CLASSES, find_reference(str(path), None, extraction, "")) == (4, 4, 4)
