"""Labels in the proportions of a reference: its counts by the generator's classes, the draws, the warning."""

from __future__ import annotations

import dataclasses
import logging
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.data.image_sets import open_finished_images
from sagan_tf.errors import UserError
from sagan_tf.evaluation.evaluator import Evaluator
from sagan_tf.evaluation.label_distribution import count_classes, match_classes, warn_if_unbalanced
from sagan_tf.evaluation.metrics import find_metrics
from sagan_tf.evaluation.reference import Provenance, Reference
from sagan_tf.evaluation.reference_store import find_reference
from sagan_tf.features.extraction import Extraction
from sagan_tf.features.statistics import CLASS_COUNTS, FEATURES, Gatherer
from sagan_tf.generation.latents import LatentSampler
from sagan_tf.networks import build_generator
from tests.evaluation.test_evaluator import CLASSES, CONFIG, evaluator, extractor, write_images
from tests.training.tiny import one_device


def reference(*counts: int, names: tuple[str, ...] = CLASSES) -> Reference:
    """Random features with as many of each class; of the last images no features are kept."""
    labels = np.repeat(np.arange(len(counts)), counts)
    gatherer = Gatherer(None, ("statistics", FEATURES, CLASS_COUNTS), most_kept=max(len(labels) - 3, 2))
    features = np.random.default_rng(5).normal(size=(len(labels), 8))
    for part in np.array_split(np.arange(len(labels)), 3):
        gatherer.add(features[part], np.zeros((len(part), 3)), labels[part])
    return Reference(Provenance("real", "f", len(labels), 32, 1, "folder/1", "p", names), gatherer.gathered())


def test_counts_are_by_the_classes_of_the_generator() -> None:
    found = reference(30, 6, 4, names=("cherry", "apple", "banana"))
    assert count_classes(CLASSES, found) == (6, 4, 30)
    assert count_classes(("0", "1", "2"), found) == (30, 6, 4)
    assert count_classes(CLASSES, reference(30, 6)) == (30, 6, 0)


@pytest.mark.parametrize(
    ("class_names", "known"), [((), CLASSES), (CLASSES, ()), (CLASSES, ("apple", "pear")), (CLASSES[:2], CLASSES)]
)
def test_other_classes_are_refused(class_names: tuple[str, ...], known: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="evaluation_labels"):
        match_classes(class_names, known, "real")


def test_labels_are_drawn_in_proportion() -> None:
    """A function of seed and number, and the latents are those of uniform labels."""
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
def test_a_warning_where_the_reference_is_unbalanced(
    counts: tuple[int, ...], expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="sagan_tf"):
        warn_if_unbalanced(CLASSES, reference(*counts))
        warn_if_unbalanced((), reference(*counts))
        warn_if_unbalanced(("pear",), reference(*counts))
    assert caplog.text.count("--evaluation_labels=reference") == expected


def test_no_warning_for_a_random_sample_of_balanced_classes(caplog: pytest.LogCaptureFixture) -> None:
    """The total variation distance is 0.18, as expected of 5 images of each class."""
    names = tuple(f"class {number}" for number in range(200))
    counts = np.random.default_rng(0).multinomial(1000, [1 / 200] * 200)
    with caplog.at_level(logging.WARNING, logger="sagan_tf"):
        warn_if_unbalanced(names, reference(*counts, names=names))
    assert not caplog.text


def test_labels_of_a_generator_and_the_record_of_it() -> None:
    """Metrics see the labels that are drawn, which do not depend on the batch size, and records say how."""
    network, found = build_generator(CONFIG), {}
    for labels in ("uniform", "reference"):
        made = Evaluator(
            Extraction(extractor(), one_device(), 16), find_metrics(["label_agreement"]), reference(0, 40), labels
        )
        found[labels] = made.of_generator(network, CONFIG, CLASSES, 40, seed=0).record()
        assert found[labels]["evaluation_labels"] == labels and found[labels]["precision"] == "float32"
    assert found["uniform"]["label_agreement"] != found["reference"]["label_agreement"]
    for batch_size in (7, 16):
        extraction = Extraction(extractor(), one_device(), batch_size)
        batches = extraction.of_generator(network, CONFIG.latent_dim, 3, 20, 0, (0, 40, 0))
        assert np.concatenate([batch.labels for batch in batches]).tolist() == [1] * 20
    unconditional = dataclasses.replace(CONFIG, conditioning="none", num_classes=0)
    record = evaluator("is").of_generator(build_generator(unconditional), unconditional, (), 8, seed=0).record()
    assert "evaluation_labels" not in record
    with pytest.raises(UserError, match="evaluation_labels"):
        made.check_generator(unconditional, (), 8, seed=0)


def test_a_reference_keeps_its_counts(tmp_path: pathlib.Path) -> None:
    """In its file; those of an earlier version have none, and the kept labels are counted."""
    source = open_finished_images(write_images(tmp_path / "images", 4))
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
