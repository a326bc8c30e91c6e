"""Metrics: names, required statistics, and entries in records."""

import dataclasses

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.evaluation import image_classifier
from sagan_tf.evaluation.class_values import ClassValues
from sagan_tf.evaluation.metrics import METRICS, find_metrics
from sagan_tf.evaluation.record_values import to_record_values, to_scalar_values
from sagan_tf.features.statistics import FEATURES, ImageSetStatistics, StatisticsAccumulator


def statistics(seed: int, count: int, required: tuple[str, ...]) -> ImageSetStatistics:
    random = np.random.default_rng(seed)
    accumulator = StatisticsAccumulator(None, required)
    logits = random.normal(size=(count, 3)).astype(np.float32)
    images = random.integers(0, 256, (count, 8, 8, 1), np.uint8)
    accumulator.add(random.normal(size=(count, 4)).astype(np.float32), logits, np.arange(count) % 3, images=images)
    return accumulator.result()


@pytest.mark.parametrize("family", METRICS)
def test_a_name_is_a_family_and_a_number_of_thousands(family):
    names = (family, f"{family}1k", f"{family}50k")
    found = [(metric.name, metric.num_images) for metric in find_metrics(names)]
    assert found == list(zip(names, (None, 1000, 50_000), strict=True))
    assert all(metric.family is METRICS[family] for metric in find_metrics(names))


@pytest.mark.parametrize("name", ["fid50", "fid0k", "FID", "fid50K", "", "fid-1k", "fidk", "inception_score", "fid 5k"])
def test_unknown_names_are_rejected(name):
    with pytest.raises(UserError, match=rf"^metrics: .*received {name!r}$"):
        find_metrics(["is", name])


def test_names_are_required_and_used_once():
    assert [metric.name for metric in find_metrics(["is10k", "fid", "is10k"])] == ["is10k", "fid"]
    with pytest.raises(UserError, match=r"^metrics: .*none$"):
        find_metrics([])


@pytest.mark.parametrize("name", METRICS)
def test_a_family_is_computed_from_its_required_statistics_alone(name, monkeypatch):
    monkeypatch.setattr(image_classifier, "count_updates", lambda num_images: 2)
    family = METRICS[name]
    reference = held_out = ImageSetStatistics()
    if family.required_of_reference:
        reference = statistics(2, 60, family.required_of_reference)
    if family.has_held_out:
        held_out = statistics(3, 60, family.required)
    value = family.compute_value(statistics(1, 60, family.required), reference, held_out)
    scalars = to_scalar_values(name, value.summary if isinstance(value, ClassValues) else value)
    assert scalars and np.isfinite(list(scalars.values())).all()


def test_precision_and_density_use_equally_many_images_and_reference_images():
    """Balls get smaller as a set gets larger, so that sets of different sizes would be another protocol."""
    few, many = statistics(1, 20, (FEATURES,)), statistics(2, 60, (FEATURES,))
    short = ImageSetStatistics(20, features=many.features[:20], labels=many.labels[:20])
    for family in ("precision_recall", "density_coverage"):
        assert METRICS[family].compute(few, many) == METRICS[family].compute(few, short)


def test_precision_and_recall_need_a_class_that_is_large_enough_on_both_sides():
    images, real = statistics(1, 60, (FEATURES,)), statistics(2, 60, (FEATURES,))
    compute = METRICS["class_precision_recall"].compute
    labels: np.ndarray = np.repeat([0, 1], [9, 51]).astype(np.int32)
    few = dataclasses.replace(images, labels=labels), dataclasses.replace(real, labels=1 - labels)
    with pytest.raises(UserError, match="^metrics: class_precision_recall .* 10 "):
        compute(*few)
    value = compute(few[0], few[0])
    assert isinstance(value, ClassValues) and value.worst_class == 1
    assert value.summary == {"precision": 1.0, "recall": 1.0, "worst_recall": 1.0}


def test_record_entries_and_scalars():
    kernel = {"value": 0.5, "standard_error": 0.1}
    assert to_record_values("kid50k", kernel) == {"kid50k": 0.5, "kid50k_standard_error": 0.1}
    assert to_scalar_values("kid50k", kernel) == {"kid50k": 0.5, "kid50k_standard_error": 0.1}
    assert to_record_values("fid", 3.0) == to_scalar_values("fid", 3.0) == {"fid": 3.0}
    pair = {"precision": 0.7, "recall": 0.2}
    assert to_record_values("precision_recall10k", pair) == {"precision_recall10k": pair}
    scalars = {"precision_recall/precision": 0.7, "precision_recall/recall": 0.2}
    assert to_scalar_values("precision_recall", pair) == scalars
