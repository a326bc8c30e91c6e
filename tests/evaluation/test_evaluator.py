"""The evaluator: values of metrics on images and generators, errors before extraction, and records."""

import dataclasses
import json
import logging
import pathlib
import shutil
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.data.image_sets import open_square_images
from sagan_tf.data.pipeline import make_single_pass_dataset
from sagan_tf.errors import UserError
from sagan_tf.evaluation.evaluator import Evaluator
from sagan_tf.evaluation.label_distribution import REFERENCE
from sagan_tf.evaluation.metrics import find_metrics
from sagan_tf.evaluation.record_outputs import print_table
from sagan_tf.evaluation.reference import Provenance, Reference
from sagan_tf.features.distances import compute_frechet_distance, compute_precision_and_recall
from sagan_tf.features.extraction import Extraction
from sagan_tf.features.extractors import Extractor, ExtractorOutputs
from sagan_tf.features.statistics import CLASS_COUNTS, FEATURES, MOMENTS, StatisticsAccumulator
from sagan_tf.networks import build_generator
from tests.training.tiny import one_device, tiny_config

CLASSES = ("apple", "banana", "cherry")
CONFIG = tiny_config().model
RANDOM = np.random.default_rng(0).normal(size=(32 * 32, 8)).astype(np.float32)


def network(images: tf.Tensor) -> ExtractorOutputs:
    """Return eight random projections, and logits of the brightest third of the image."""
    flat = tf.reshape(tf.reduce_mean(images, -1), [images.shape[0], -1])
    thirds = tf.stack([tf.reduce_mean(part, 1) for part in tf.split(flat[:, :1023], 3, axis=1)], 1)
    return ExtractorOutputs(tf.matmul(flat, RANDOM), 10.0 * thirds)


def extractor(name: str = "directory", class_names: tuple[str, ...] = CLASSES) -> Extractor:
    return Extractor(name, f"{name}/1", (32, 32), None, class_names, network)


def write_images(directory: pathlib.Path, per_class: int, names: Sequence[str] = CLASSES) -> str:
    """Write gray images of classes that have a different bright third."""
    random = np.random.default_rng(1)
    for label, name in enumerate(names):
        (directory / name).mkdir(parents=True)
        for index in range(per_class):
            pixels = random.integers(0, 90, size=32 * 32)
            pixels[341 * label : 341 * (label + 1)] += 150
            Image.fromarray(pixels.reshape(32, 32).astype(np.uint8)).save(directory / name / f"{index}.png")
    return str(directory)


def reference(
    *counts: int, identifier: str = "directory/1", resolution: int = 32, names: tuple[str, ...] = CLASSES
) -> Reference:
    """Return a reference with these class counts and random features, which are not kept for the last images."""
    labels: np.ndarray = np.repeat(np.arange(len(counts)), counts) if counts else np.arange(60) % len(names)
    accumulator = StatisticsAccumulator(None, (MOMENTS, FEATURES, CLASS_COUNTS), max(len(labels) - 3, 2))
    features = np.random.default_rng(5).normal(size=(len(labels), 8))
    for part in np.array_split(np.arange(len(labels)), 3):
        accumulator.add(features[part], np.zeros((len(part), 3)), labels[part])
    provenance = Provenance("real", "f", len(labels), resolution, 1, identifier, "p", names)
    return Reference(provenance, accumulator.result())


def evaluator(*names: str, real: Reference | None = None, by: Extractor | None = None) -> Evaluator:
    extraction = Extraction(by or extractor(), one_device(), 16)
    return Evaluator(extraction, find_metrics(names), real)


def test_values_are_those_of_the_formulas_on_the_images(tmp_path):
    source = open_square_images(write_images(tmp_path / "images", 12))
    real = reference()
    names = ("fid", "is", "kid", "precision_recall", "density_coverage", "intra_fid", "label_agreement")
    result = evaluator(*names, real=real).evaluate_images(source)
    assert tuple(result.values) == names and result.lower_is_better
    pixels = [np.asarray(Image.open(tmp_path / "images" / path)) / 127.5 - 1.0 for path in source.layout.paths]
    features = np.stack(pixels).reshape(36, -1).astype(np.float32) @ RANDOM
    accumulator = StatisticsAccumulator(None, (MOMENTS,))
    accumulator.add(features, np.zeros((36, 1)), np.zeros(36))
    expected = compute_frechet_distance(accumulator.result().moments, real.statistics.moments)
    np.testing.assert_allclose(result.values["fid"], expected, rtol=1e-5)
    assert result.values["label_agreement"] == 1.0
    record = result.to_record()
    assert record["num_samples"] == dict.fromkeys(names, 36)
    assert record["extractor"] == "directory/1" and "bilinear" in record["preprocessing"]
    used = {"fid": 60, "kid": 57, "precision_recall": 36, "density_coverage": 36, "intra_fid": 57}
    expected_reference = {"images": "real", "fingerprint": "f", "num_samples": 60, "num_samples_used": used}
    assert record["reference"] == expected_reference | {"unreadable": []}
    assert set(record["formulas"]) == set(names)


def test_metrics_of_equal_sizes_record_the_images_that_they_use(tmp_path):
    """The reference has fewer images than the 36 that are compared with it."""
    source = open_square_images(write_images(tmp_path / "images", 12))
    names = ("fid", "precision_recall", "density_coverage")
    record = evaluator(*names, real=reference(11, 12)).evaluate_images(source).to_record()
    assert record["num_samples"] == {"fid": 36, "precision_recall": 20, "density_coverage": 20}
    assert record["reference"]["num_samples_used"] == {"fid": 23, "precision_recall": 20, "density_coverage": 20}


def test_metrics_of_a_generator_use_the_number_of_images_in_their_names():
    generator = build_generator(CONFIG)
    evaluate = evaluator("fcd", "classifier_score1k", real=reference()).evaluate_generator
    result = evaluate(generator, CONFIG, CLASSES, 20, seed=4)
    assert result.to_record()["num_samples"] == {"fcd": 20, "classifier_score1k": 1000}
    assert result.to_record()["seed"] == 4
    assert evaluate(generator, CONFIG, CLASSES, 20, seed=4).values == result.values
    assert evaluate(generator, CONFIG, CLASSES, 20, seed=5).values != result.values


def test_only_metrics_that_compare_need_a_reference(tmp_path):
    result = evaluator("is").evaluate_images(open_square_images(write_images(tmp_path / "images", 4)))
    score = result.values["is"]
    assert isinstance(score, float) and 2.0 < score <= 3.0 and result.to_record()["reference"] is None
    with pytest.raises(UserError, match=r"^reference: .* none$"):
        evaluator("is", "fid")
    with pytest.raises(UserError, match=r"^reference: .*directory/1, received .*inception/2$"):
        evaluator("fid", real=reference(identifier="inception/2"))


@pytest.fixture
def failing():
    """An extractor that must not be called."""

    def fail(images: tf.Tensor) -> ExtractorOutputs:
        raise AssertionError("the extractor was called")

    return dataclasses.replace(extractor(), network=fail)


@pytest.mark.parametrize(
    ("metric", "resolution", "per_class", "message"),
    [
        ("fid", 64, 4, "reference: .* 32 px .* received 64 px "),
        ("fid1k", 32, 1, "images: .*1000 for fid1k, received 3 "),
        ("precision_recall", 32, 1, "images: .*4 for precision_recall, received 3 "),
        ("density_coverage", 32, 1, "images: .*6 for density_coverage, received 3 "),
        ("intra_fid", 32, 1, "images: .*intra_fid, received 1 of apple "),
    ],
)
def test_images_are_rejected_before_features_are_extracted(metric, resolution, per_class, message, failing, tmp_path):
    source = open_square_images(write_images(tmp_path, per_class))
    rejecting = evaluator(metric, real=reference(resolution=resolution), by=failing)
    with pytest.raises(UserError, match=f"^{message}"):
        rejecting.evaluate_images(source)


@pytest.mark.parametrize(
    ("metric", "num_samples", "message"),
    [
        ("fid", 1, "images: .* 2 for fid, received 1"),
        ("kid", 100_000, "metrics: .* 100000 "),
        ("precision_recall1k", 8, "reference: .*1000 .*precision_recall1k, received 57"),
    ],
)
def test_generators_are_rejected_before_training(metric, num_samples, message, failing):
    rejecting = evaluator(metric, real=reference(), by=failing)
    with pytest.raises(UserError, match=f"^{message}"):
        rejecting.check_generator(CONFIG, CLASSES, num_samples, seed=0)
    with pytest.raises(UserError, match=f"^{message}"):
        rejecting.evaluate_generator(build_generator(CONFIG), CONFIG, CLASSES, num_samples, seed=0)


def test_a_metric_of_each_class_needs_two_labels_of_each_class(failing):
    metrics, real = find_metrics(["fid", "intra_fid1k"]), reference(5000, 2, 5000)
    rejecting = Evaluator(Extraction(failing, one_device(), 16), metrics, real, REFERENCE)
    with pytest.raises(UserError, match=r"evaluation_labels=reference.* intra_fid1k, received [01] of banana"):
        rejecting.check_generator(CONFIG, CLASSES, 40, seed=0)


def test_a_damaged_image_is_rejected(tmp_path):
    directory = write_images(tmp_path / "images", 40)
    path = tmp_path / "images" / "apple" / "7.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"^images: .*7\.png"):
        evaluator("is").evaluate_images(open_square_images(directory))


def test_the_class_with_the_worst_agreement_is_named(tmp_path):
    """Three of four bananas look like apples, and the extractor has another order of classes."""
    write_images(tmp_path, 4)
    for index in range(3):
        shutil.copy(tmp_path / "apple" / f"{index}.png", tmp_path / "banana" / f"{index}.png")
    class_names = ("banana", "apple", "cherry")
    by = dataclasses.replace(
        extractor(class_names=class_names),
        network=lambda images: network(images)._replace(logits=tf.gather(network(images).logits, [1, 0, 2], axis=1)),
    )
    result = evaluator("class_agreement", "label_agreement", by=by).evaluate_images(open_square_images(str(tmp_path)))
    assert result.values["class_agreement"] == {"mean": 0.75, "worst": 0.25}
    assert result.values["label_agreement"] == 9 / 12 and not result.lower_is_better
    assert result.to_record()["worst_class"] == {"class_agreement": "banana"}
    assert result.to_scalars()["class_agreement/worst"] == 0.25


@pytest.mark.parametrize("metrics", [("label_agreement", "intra_fid"), ("intra_fid", "label_agreement")])
def test_extractor_and_reference_may_have_different_orders_of_classes(metrics, tmp_path):
    """Classes are matched by name. Directories are sorted by name, so that their indices differ from the extractor's.

    The values do not depend on the other metrics.
    """
    by = extractor(class_names=("cherry", "apple", "banana"))
    source = open_square_images(write_images(tmp_path / "images", 4, ("cherry", "apple", "banana")))
    assert source.class_names == CLASSES
    together = evaluator(*metrics, real=reference(), by=by).evaluate_images(source).values
    assert together["label_agreement"] == 1.0
    alone = evaluator("intra_fid", real=reference(), by=by).evaluate_images(source).values
    assert together["intra_fid"] == alone["intra_fid"]


@pytest.mark.parametrize("image_names", [("apple", "banana", "cherry"), ("1", "2", "0")])
def test_the_record_has_the_values_of_each_class(image_names, tmp_path):
    """Extractor and reference have other orders of classes, and the images may have indices in place of names."""
    write_images(tmp_path, 12, image_names)
    for name, count in ((image_names[2], 3), (image_names[0], 1)):
        for path in sorted((tmp_path / name).iterdir())[:count]:
            path.unlink()
    names = ("cherry", "apple", "banana")
    source = open_square_images(str(tmp_path))
    (batch,) = make_single_pass_dataset(source, batch_size=100).as_numpy_iterator()  # in the order of an evaluation
    pixels = batch["images"] / 127.5 - 1.0
    features = pixels.reshape(len(pixels), -1).astype(np.float32) @ RANDOM
    fake = [features[batch["labels"] == source.class_names.index(name)] for name in (image_names[2], *image_names[:2])]
    real = reference(30, 11, 20, names=names)  # without the features of three bananas
    labels = real.statistics.labels
    near = np.stack([fake[label].mean(0) for label in labels]) + 8.0 * real.statistics.features
    real = dataclasses.replace(real, statistics=dataclasses.replace(real.statistics, features=near))
    by = dataclasses.replace(
        extractor(class_names=("cherry", "apple", "banana")),
        network=lambda images: network(images)._replace(logits=tf.gather(network(images).logits, [2, 0, 1], axis=1)),
    )
    record = (
        evaluator("class_precision_recall", "class_agreement", real=real, by=by).evaluate_images(source).to_record()
    )
    table = record["classes"]
    parts = [f"class_precision_recall/{part}" for part in ("precision", "recall", "images")]
    rows = dict(zip(table["name"], zip(*(table[name] for name in table if name != "name"), strict=True), strict=True))
    assert list(table) == ["name", "reference_images", *parts, "class_agreement/agreement"]
    assert set(rows) == set(CLASSES) and rows["cherry"] == (30, None, None, 0, 1.0)
    assert rows["banana"][0] == 20 and rows["banana"][3] == 12 and rows["apple"][3] == 11
    for label, name, count in ((1, "apple", 11), (2, "banana", 12)):
        expected = compute_precision_and_recall(fake[label][:count], near[labels == label][:count])
        assert 0.0 < min(expected) < 1.0
        np.testing.assert_allclose(rows[name][1:3], expected, atol=1e-6)
    recalls = {name: row[2] for name, row in rows.items() if row[2] is not None}
    assert record["worst_class"]["class_precision_recall"] == min(recalls, key=lambda name: recalls[name])
    assert record["class_precision_recall"]["recall"] == pytest.approx(np.mean(list(recalls.values())), abs=1e-6)
    assert json.loads(json.dumps(record)) == record
    assert record["num_classes"] == {"class_precision_recall": 2, "class_agreement": 3}
    # A histogram of a part of the labels does not say how many images of a class there are.
    counted = dataclasses.replace(
        real, statistics=dataclasses.replace(real.statistics, class_counts=np.array([3, 1, 2]))
    )
    partial = evaluator("class_precision_recall", real=counted, by=by).evaluate_images(source).to_record()["classes"]
    assert partial["name"] == table["name"] and "reference_images" not in partial


def test_the_table_has_the_classes_of_the_reference_that_the_images_lack(tmp_path, caplog):
    source = open_square_images(write_images(tmp_path, 12, ("apple", "cherry")))
    both = evaluator("class_precision_recall", "class_agreement", real=reference(20, 20, 20))
    record = both.evaluate_images(source).to_record() | {"images": "x"}
    table = record["classes"]
    assert table["name"] == list(CLASSES) and table["reference_images"] == [20, 20, 20]
    for name in ("class_precision_recall", "class_agreement"):
        column = next(values for key, values in table.items() if key.startswith(f"{name}/"))
        assert [value is None for value in column] == [False, True, False] and record["num_classes"][name] == 2
        assert record["worst_class"][name] in ("apple", "cherry")
    with caplog.at_level(logging.INFO, logger="sagan_tf"):
        print_table(record, find_metrics(["class_precision_recall", "class_agreement"]))
    assert caplog.text.count("2 of 3 classes") == 2 and caplog.text.count("no value for banana") == 2


def test_small_classes_are_omitted_but_not_all_classes_may_be_small(failing):
    for counts, is_rejected in (((5000, 2, 9), False), ((9, 9, 9), True)):
        rejecting = evaluator("class_precision_recall1k", real=reference(*counts), by=failing)
        if not is_rejected:
            rejecting.check_generator(CONFIG, CLASSES, 40, seed=0)
            continue
        with pytest.raises(UserError, match=r"^reference: .* 10 images of one class .*received 9 of apple"):
            rejecting.check_generator(CONFIG, CLASSES, 40, seed=0)
