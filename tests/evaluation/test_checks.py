"""Checks of metrics, images and references before any image is read."""

from __future__ import annotations

import numpy as np
import pytest

from sagan_tf.config.option_names import PACKAGED_EXTRACTORS
from sagan_tf.errors import UserError
from sagan_tf.evaluation.checks import (
    check_class_counts,
    check_metrics_match_extractor,
    check_reference_size,
    count_reference_images,
)
from sagan_tf.evaluation.metrics import METRICS, find_metrics
from sagan_tf.features.statistics import ImageSetStatistics

REFERENCE = ImageSetStatistics(9000, features=np.zeros((60, 2), np.float32))


@pytest.mark.parametrize("family", METRICS)
def test_metrics_are_allowed_by_extractor(family: str) -> None:
    """Inception's names with Inception, other names with packaged extractors, all names with a directory."""
    packaged = set(PACKAGED_EXTRACTORS)
    allowed = {True: {"inception"}, False: packaged, None: {"inception", *packaged}}
    for extractor in ("inception", *PACKAGED_EXTRACTORS, "a/directory"):
        if extractor == "a/directory" or extractor in allowed[METRICS[family].uses_inception]:
            check_metrics_match_extractor(extractor, find_metrics([family]))
        else:
            with pytest.raises(UserError, match=rf"^metrics: .*--extractor={extractor}, received {family}10k"):
                check_metrics_match_extractor(extractor, find_metrics(["label_agreement", f"{family}10k"]))


@pytest.mark.parametrize(
    ("name", "num_images", "expected"),
    [
        ("fid", 30, 9000),
        ("kid", 30, 60),
        ("precision_recall", 30, 30),
        ("precision_recall", 80, 60),
        ("intra_fid", 9, 60),
    ],
)
def test_number_of_reference_images(name: str, num_images: int, expected: int) -> None:
    (metric,) = find_metrics([name])
    check_reference_size(metric, num_images, REFERENCE)
    assert count_reference_images(metric, num_images, REFERENCE) == expected


@pytest.mark.parametrize(
    ("name", "num_images", "message"),
    [
        ("precision_recall1k", 1000, "reference: .*1000.* precision_recall1k, received 60"),
        ("kid", 40_000, "metrics: .*kernel distance, received 40000 and 60"),
    ],
)
def test_too_small_references_are_rejected(name: str, num_images: int, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        check_reference_size(find_metrics([name])[0], num_images, REFERENCE)


def test_every_class_needs_two_images() -> None:
    check_class_counts("intra_fid", "images", np.array([0, 1, 0, 1]), ("a", "b"))
    with pytest.raises(UserError, match=r"^images: .*intra_fid, received 1 of b \(2 of 3 classes "):
        check_class_counts("intra_fid", "images", np.array([0, 1, 0]), ("a", "b", "c"))
