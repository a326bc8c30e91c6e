"""What is refused before any image is looked at."""

from __future__ import annotations

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.evaluation.checks import check_counts_by_class, check_names, check_reference_counts, reference_size
from sagan_tf.evaluation.metrics import METRICS, find_metrics
from sagan_tf.features.extractors import PACKAGED_EXTRACTORS
from sagan_tf.features.statistics import Gathered

REAL = Gathered(9000, features=np.zeros((60, 2), np.float32))


@pytest.mark.parametrize("family", METRICS)
def test_names_belong_to_features(family: str) -> None:
    """Those of Inception's to it, the others' to the others; a folder may be either."""
    packaged = set(PACKAGED_EXTRACTORS)
    allowed = {True: {"inception"}, False: packaged, None: {"inception", *packaged}}
    for extractor in ("inception", *PACKAGED_EXTRACTORS, "a/folder"):
        if extractor == "a/folder" or extractor in allowed[METRICS[family].inception]:
            check_names(extractor, find_metrics([family]))
        else:
            with pytest.raises(UserError, match=rf"^metrics: expected .* for the extractor {extractor}, received "):
                check_names(extractor, find_metrics(["label_agreement", f"{family}10k"]))


@pytest.mark.parametrize(
    ("name", "size", "used"),
    [
        ("fid", 30, 9000),
        ("kid", 30, 60),
        ("precision_recall", 30, 30),
        ("precision_recall", 80, 60),
        ("intra_fid", 9, 60),
    ],
)
def test_how_many_real_images_are_used(name: str, size: int, used: int) -> None:
    (metric,) = find_metrics([name])
    check_reference_counts(metric, size, REAL)
    assert reference_size(metric, size, REAL) == used


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("precision_recall1k", 1000, "reference: expected at least 1000 for precision_recall1k, received 60"),
        (
            "kid",
            40_000,
            "metrics: expected sets of features of more equal sizes for a kernel distance, received 40000 ",
        ),
    ],
)
def test_references_that_are_too_small(name: str, size: int, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        check_reference_counts(find_metrics([name])[0], size, REAL)


def test_two_of_every_class() -> None:
    check_counts_by_class("intra_fid", "images", np.array([0, 1, 0, 1]), ("a", "b"))
    message = (
        r"^images: expected at least 2 images of every class for intra_fid, received 1 of b \(2 of 3 classes have "
    )
    with pytest.raises(UserError, match=message):
        check_counts_by_class("intra_fid", "images", np.array([0, 1, 0]), ("a", "b", "c"))
