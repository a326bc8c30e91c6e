"""An evaluation's parts put together: what is computed of what, what is refused, what a record says."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sagan_tf.data.image_sets import open_finished_images
from sagan_tf.errors import UserError
from sagan_tf.evaluation.evaluator import Evaluator
from sagan_tf.evaluation.label_distribution import REFERENCE
from sagan_tf.evaluation.metrics import find_metrics, needs_reference
from sagan_tf.evaluation.reference import Provenance, Reference
from sagan_tf.features.distances import frechet_distance
from sagan_tf.features.extraction import Extraction
from sagan_tf.features.extractors import Extractor, Outputs
from sagan_tf.features.statistics import CLASS_COUNTS, FEATURES, STATISTICS, Gatherer
from sagan_tf.networks import build_generator
from tests.training.tiny import NUM_CLASSES, one_device, tiny_config

CLASSES = ("apple", "banana", "cherry")
CONFIG = tiny_config().model
RANDOM = np.random.default_rng(0).normal(size=(32 * 32, 8)).astype(np.float32)


def network(images: tf.Tensor) -> Outputs:
    """Eight random projections; the class is the brightest third of the picture."""
    flat = tf.reshape(tf.reduce_mean(images, -1), [images.shape[0], -1])
    thirds = tf.stack([tf.reduce_mean(part, 1) for part in tf.split(flat[:, :1023], 3, axis=1)], 1)
    return Outputs(tf.matmul(flat, RANDOM), 10.0 * thirds)


def _banana_first(images: tf.Tensor) -> Outputs:
    """Show the same network with the numbers of apple and banana exchanged."""
    found = network(images)
    return Outputs(found.features, tf.gather(found.logits, [1, 0, 2], axis=1))


def extractor(name: str = "folder", class_names: tuple[str, ...] = CLASSES) -> Extractor:
    return Extractor(name, f"{name}/1", (32, 32), None, class_names, network)


def write_images(folder: pathlib.Path, per_class: int, names: Sequence[str] = CLASSES, seed: int = 1) -> str:
    """Grey pictures whose class is the third that is bright."""
    random = np.random.default_rng(seed)
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for index in range(per_class):
            pixels = random.integers(0, 90, size=32 * 32)
            pixels[341 * label : 341 * (label + 1)] += 150
            Image.fromarray(pixels.reshape(32, 32).astype(np.uint8)).save(folder / name / f"{index}.png")
    return str(folder)


def reference(count: int = 60, of: str = "folder/1", resolution: int = 32, counts: tuple[int, ...] = ()) -> Reference:
    random = np.random.default_rng(5)
    gatherer = Gatherer(None, (STATISTICS, FEATURES, CLASS_COUNTS))
    labels = np.repeat(np.arange(len(counts)), counts) if counts else np.arange(count) % len(CLASSES)
    gatherer.add(random.normal(size=(len(labels), 8)), np.zeros((len(labels), 3)), labels)
    return Reference(Provenance("real", "f", len(labels), resolution, 1, of, "p", CLASSES), gatherer.gathered())


def evaluator(*names: str, real: Reference | None = None, by: Extractor | None = None) -> Evaluator:
    extraction = Extraction(by or extractor(), one_device(), 16)
    return Evaluator(extraction, find_metrics(names), real)


def test_of_images(tmp_path: pathlib.Path) -> None:
    """Values are those of the formulas on the features of exactly these images."""
    source = open_finished_images(write_images(tmp_path / "images", 12))
    real = reference()
    names = ("fid", "is", "kid", "precision_recall", "density_coverage", "intra_fid", "label_agreement")
    result = evaluator(*names, real=real).of_images(source)
    assert tuple(result.values) == names and result.lower_is_better
    pixels = [np.asarray(Image.open(tmp_path / "images" / path)) / 127.5 - 1.0 for path in source.layout.paths]
    features = np.stack(pixels).reshape(36, -1).astype(np.float32) @ RANDOM
    gatherer = Gatherer(None, (STATISTICS,))
    gatherer.add(features, np.zeros((36, 1)), np.zeros(36))
    expected = frechet_distance(gatherer.gathered().moments, real.gathered.moments)
    np.testing.assert_allclose(result.values["fid"], expected, rtol=1e-5)
    assert result.values["label_agreement"] == 1.0
    record = result.record()
    assert record["num_samples"] == dict.fromkeys(names, 36)
    assert record["extractor"] == "folder/1" and "bilinear" in record["preprocessing"]
    used = {"fid": 60, "kid": 60, "precision_recall": 36, "density_coverage": 36, "intra_fid": 60}
    expected_reference = {"images": "real", "fingerprint": "f", "num_samples": 60, "num_samples_used": used}
    expected_reference["unreadable"] = []
    assert record["reference"] == expected_reference
    assert set(record["formulas"]) == set(names)


def test_of_a_generator_each_metric_sees_as_many_as_its_name_says() -> None:
    network_of = build_generator(CONFIG)
    made = evaluator("fcd", "classifier_score1k", real=reference())
    result = made.of_generator(network_of, CONFIG, CLASSES, 20, seed=4)
    assert result.record()["num_samples"] == {"fcd": 20, "classifier_score1k": 1000}
    assert result.record()["seed"] == 4
    again = made.of_generator(network_of, CONFIG, CLASSES, 20, seed=4)
    assert again.values == result.values
    assert made.of_generator(network_of, CONFIG, CLASSES, 20, seed=5).values != result.values


def test_a_reference_is_needed_only_by_those_who_compare(tmp_path: pathlib.Path) -> None:
    assert needs_reference(find_metrics(["is", "fid"])) and not needs_reference(find_metrics(["is", "label_agreement"]))
    source = open_finished_images(write_images(tmp_path / "images", 4))
    result = evaluator("is").of_images(source)
    assert 2.0 < result.values["is"] <= 3.0 and result.record()["reference"] is None
    with pytest.raises(UserError, match=r"^reference: expected DATASET:SPLIT, a folder .* received none$"):
        evaluator("is", "fid")


@pytest.mark.parametrize(
    ("name", "metric", "expected"),
    [("fashion_mnist", "fid10k", "fcd, kcd and classifier_score"), ("inception", "fcd", "fid, kid and is")],
)
def test_a_name_says_whose_features_it_is_of(name: str, metric: str, expected: str) -> None:
    message = rf"^metrics: expected {expected} for the extractor {name}, received {metric}(; others need --extractor)?$"
    with pytest.raises(UserError, match=message):
        evaluator(metric, real=reference(of=f"{name}/1"), by=extractor(name))


def test_a_reference_of_another_extractor() -> None:
    message = r"^reference: expected features of extractor folder/1, received those of inception/2$"
    with pytest.raises(UserError, match=message):
        evaluator("fid", real=reference(of="inception/2"))


def test_a_reference_of_another_size(tmp_path: pathlib.Path) -> None:
    source = open_finished_images(write_images(tmp_path / "images", 4))
    with pytest.raises(UserError, match=r"^reference: expected images of 32 px and 1 .* received 64 px and 1 "):
        evaluator("fid", real=reference(resolution=64)).of_images(source)


@pytest.mark.parametrize(("metric", "least"), [("fid1k", 1000), ("precision_recall", 4), ("density_coverage", 6)])
def test_too_few_images(metric: str, least: int, tmp_path: pathlib.Path) -> None:
    source = open_finished_images(write_images(tmp_path / "images", 1))
    with pytest.raises(UserError, match=rf"^images: expected at least {least} for {metric}, received 3 in "):
        evaluator(metric, real=reference()).of_images(source)


def test_too_few_real_images(tmp_path: pathlib.Path) -> None:
    source = open_finished_images(write_images(tmp_path / "images", 4))
    with pytest.raises(UserError, match=r"^reference: expected at least 4 for precision_recall, received 3$"):
        evaluator("precision_recall", real=reference(3)).of_images(source)


def test_a_damaged_image(tmp_path: pathlib.Path) -> None:
    folder = write_images(tmp_path / "images", 40)
    path = tmp_path / "images" / "apple" / "7.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"^images: expected readable images, received .*7\.png, which is not$"):
        evaluator("is").of_images(open_finished_images(folder))


def test_classes_missing_for_intra_fid(tmp_path: pathlib.Path) -> None:
    source = open_finished_images(write_images(tmp_path / "two", 4, CLASSES[:2]))
    message = r"^images: expected images of every class for intra_fid, received none of cherry \(1 of 3 classes\)$"
    with pytest.raises(UserError, match=message):
        evaluator("intra_fid", real=reference()).of_images(source)
    source = open_finished_images(write_images(tmp_path / "few", 1))
    message = r"^images: expected at least 2 images of every class for intra_fid, received 1 of apple \(3 of 3 classes "
    with pytest.raises(UserError, match=message):
        evaluator("intra_fid", real=reference()).of_images(source)


def test_classes_go_by_their_names(tmp_path: pathlib.Path) -> None:
    """Folders are sorted by name: their numbers are not the extractor's."""
    by = extractor(class_names=("cherry", "apple", "banana"))
    source = open_finished_images(write_images(tmp_path / "images", 4, ("cherry", "apple", "banana")))
    assert source.class_names == CLASSES
    assert evaluator("label_agreement", by=by).of_images(source).values["label_agreement"] == 1.0


def test_the_class_that_agrees_least_is_named(tmp_path: pathlib.Path) -> None:
    """Three of four bananas look like apples; the extractor numbers classes in its own way."""
    write_images(tmp_path, 4)
    for index in range(3):
        shutil.copy(tmp_path / "apple" / f"{index}.png", tmp_path / "banana" / f"{index}.png")
    by = dataclasses.replace(extractor(class_names=("banana", "apple", "cherry")), network=_banana_first)
    result = evaluator("class_agreement", "label_agreement", by=by).of_images(open_finished_images(str(tmp_path)))
    assert result.values["class_agreement"] == {"mean": 0.75, "worst": 0.25}
    assert result.values["label_agreement"] == 9 / 12 and not result.lower_is_better
    assert result.record()["worst_class"] == {"class_agreement": "banana"}
    assert result.scalars()["class_agreement/worst"] == 0.25


@pytest.mark.parametrize("metrics", [("label_agreement", "intra_fid"), ("intra_fid", "label_agreement")])
def test_extractor_and_reference_may_number_classes_in_their_own_ways(
    metrics: tuple[str, str], tmp_path: pathlib.Path
) -> None:
    """Each metric by whoever compares, whatever it is named beside."""
    by = extractor(class_names=("cherry", "apple", "banana"))
    source = open_finished_images(write_images(tmp_path / "images", 4, ("cherry", "apple", "banana")))
    together = evaluator(*metrics, real=reference(), by=by).of_images(source).values
    assert together["label_agreement"] == 1.0
    assert (
        together["intra_fid"] == evaluator("intra_fid", real=reference(), by=by).of_images(source).values["intra_fid"]
    )


def test_what_is_known_to_be_wrong_is_said_before_anything_is_extracted(tmp_path: pathlib.Path) -> None:
    """And of a generator that is still to be trained."""

    def never(images: tf.Tensor) -> Outputs:
        raise AssertionError("the extractor was called")

    by = dataclasses.replace(extractor(), network=never)
    cases = {
        ("fid", 1): "images: expected at least 2 for fid, received 1",
        ("kid", 100_000): "metrics: expected sets of features of more equal sizes for a kernel distance, ",
        ("precision_recall1k", 8): "reference: expected at least 1000 for precision_recall1k, received 60",
    }
    for (metric, samples), message in cases.items():
        made = evaluator(metric, real=reference(), by=by)
        with pytest.raises(UserError, match=f"^{message}"):
            made.check_generator(CONFIG, CLASSES, samples, seed=0)
        with pytest.raises(UserError, match=f"^{message}"):
            made.of_generator(build_generator(CONFIG), CONFIG, CLASSES, samples, seed=0)
    made = Evaluator(
        Extraction(by, one_device(), 16),
        find_metrics(["fid", "intra_fid1k"]),
        reference(counts=(5000, 5000, 2)),
        REFERENCE,
    )
    with pytest.raises(UserError, match=r"evaluation_labels=reference.* intra_fid1k, received [01] of cherry"):
        made.check_generator(CONFIG, CLASSES, 40, seed=0)
    source = open_finished_images(write_images(tmp_path / "images", 1))
    with pytest.raises(UserError, match="intra_fid, received 1 of apple"):
        evaluator("fid", "intra_fid", real=reference(), by=by).of_images(source)


def test_labels_that_nobody_knows(tmp_path: pathlib.Path) -> None:
    source = open_finished_images(write_images(tmp_path / "images", 4))
    with pytest.raises(UserError, match=r"^metrics: expected classes that images and extractor folder share for "):
        evaluator("label_agreement", by=extractor(class_names=())).of_images(source)
    unconditional = dataclasses.replace(CONFIG, conditioning="none", num_classes=0)
    with pytest.raises(UserError, match=r"for label_agreement, received images without labels$"):
        evaluator("label_agreement").of_generator(build_generator(unconditional), unconditional, (), 8, 0)
    assert len(CLASSES) == NUM_CLASSES
