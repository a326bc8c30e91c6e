"""Checks of metrics, images and references before any image is read."""

import numpy as np
import pytest

from sagan_tf.config.option_names import PACKAGED_EXTRACTORS
from sagan_tf.errors import UserError
from sagan_tf.evaluation.checks import (
    check_metrics_match_extractor,
    check_reference_size,
    check_training_metrics,
    count_reference_images,
)
from sagan_tf.evaluation.metrics import METRICS, find_metrics
from sagan_tf.features.statistics import ImageSetStatistics

REFERENCE = ImageSetStatistics(9000, features=np.zeros((60, 2), np.float32))


@pytest.mark.parametrize("family", METRICS)
def test_metrics_are_allowed_by_extractor(family):
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
def test_number_of_reference_images(name, num_images, expected):
    (metric,) = find_metrics([name])
    check_reference_size(metric, num_images, REFERENCE)
    assert count_reference_images(metric, num_images, REFERENCE) == expected


@pytest.mark.parametrize(
    ("names", "num_workers", "rejected"),
    [
        ("fcd10k authenticity10k", 2, ""),
        ("authenticity10k fcd10k", 1, "authenticity10k"),
        ("classification_accuracy_score1k", 1, ""),
        ("fcd10k classification_accuracy_score1k", 2, "classification_accuracy_score1k"),
    ],
)
def test_metrics_of_training_choose_a_checkpoint_and_are_computed_once(names, num_workers, rejected):
    metrics = find_metrics(names.split())
    if not rejected:
        check_training_metrics(metrics, num_workers)
        return
    with pytest.raises(UserError, match=f"^metrics: .*{rejected}"):
        check_training_metrics(metrics, num_workers)
