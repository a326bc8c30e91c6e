"""Names of metrics, and what a record has of their values."""

from __future__ import annotations

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.evaluation.metrics import METRICS, find_metrics, record_values, scalar_values
from sagan_tf.features.statistics import AGREEMENT, FEATURES, PROBABILITIES, STATISTICS, Gathered, Gatherer


def gathered(seed: int, count: int = 60) -> Gathered:
    random = np.random.default_rng(seed)
    gatherer = Gatherer(None, (STATISTICS, PROBABILITIES, FEATURES, AGREEMENT))
    logits = random.normal(size=(count, 3)).astype(np.float32)
    gatherer.add(random.normal(size=(count, 4)).astype(np.float32), logits, np.arange(count) % 3)
    return gatherer.gathered()


@pytest.mark.parametrize("family", METRICS)
def test_a_name_is_a_family_and_a_number_of_thousands(family: str) -> None:
    names = (family, f"{family}1k", f"{family}50k")
    assert [(metric.name, metric.size) for metric in find_metrics(names)] == list(
        zip(names, (None, 1000, 50_000), strict=True)
    )
    assert all(metric.family is METRICS[family] for metric in find_metrics(names))


def test_a_name_given_twice_counts_once() -> None:
    assert [metric.name for metric in find_metrics(["is10k", "fid", "is10k"])] == ["is10k", "fid"]


@pytest.mark.parametrize("name", ["fid50", "fid0k", "FID", "fid50K", "", "fid-1k", "fidk", "inception_score", "fid 5k"])
def test_other_names(name: str) -> None:
    with pytest.raises(UserError, match=rf"^metrics: expected one of fid, is, .* such as fid50k, received {name!r}$"):
        find_metrics(["is", name])


def test_no_names() -> None:
    with pytest.raises(UserError, match=r"^metrics: expected names such as fid50k, .* received none$"):
        find_metrics([])


@pytest.mark.parametrize("family", METRICS)
def test_a_family_needs_no_more_than_it_says(family: str) -> None:
    """With just that, it computes finite numbers."""
    one = METRICS[family]

    def only(needs: tuple[str, ...], seed: int) -> Gathered:
        full, gatherer = gathered(seed), Gatherer(None, needs)
        random = np.random.default_rng(seed)
        logits = random.normal(size=(60, 3)).astype(np.float32)
        gatherer.add(random.normal(size=(60, 4)).astype(np.float32), logits, np.arange(60) % 3)
        assert gatherer.gathered().count == full.count
        return gatherer.gathered()

    reference = only(one.needs_of_reference, 2) if one.needs_of_reference else Gathered()
    scalars = scalar_values(family, one.compute(only(one.needs, 1), reference))
    assert scalars and np.isfinite(list(scalars.values())).all()


def test_a_precision_is_one_of_as_many_real_images() -> None:
    """Balls get smaller as a set gets larger: a set against one of another size would not be the named protocol."""
    few, many = gathered(1, 20), gathered(2, 60)
    short = Gathered(20, features=many.features[:20], labels=many.labels[:20])
    for family in ("precision_recall", "density_coverage"):
        assert METRICS[family].compute(few, many) == METRICS[family].compute(few, short)


def test_records_and_scalars() -> None:
    kernel = {"value": 0.5, "standard_error": 0.1}
    assert record_values("kid50k", kernel) == {"kid50k": 0.5, "kid50k_standard_error": 0.1}
    assert scalar_values("kid50k", kernel) == {"kid50k": 0.5, "kid50k_standard_error": 0.1}
    assert record_values("fid", 3.0) == scalar_values("fid", 3.0) == {"fid": 3.0}
    pair = {"precision": 0.7, "recall": 0.2}
    assert record_values("precision_recall10k", pair) == {"precision_recall10k": pair}
    assert scalar_values("precision_recall", pair) == {
        "precision_recall/precision": 0.7,
        "precision_recall/recall": 0.2,
    }
