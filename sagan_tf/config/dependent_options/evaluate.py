"""Flags of sagan_tf.evaluate that have an effect only together with others."""

from __future__ import annotations

from typing import Any

from sagan_tf.config.dependent_options.common import (
    PACKAGED_EXTRACTORS,
    PLACEMENT,
    REFERENCE,
    UNSIZED_METRIC,
    has_unsized_metric,
)
from sagan_tf.config.dependent_options.dependency import Dependency


def _reads_data_dir(flags: Any) -> bool:
    if flags.run_dir:  # without --reference its own, which may be the split that it trains on
        return flags.is_compared and (not flags.resolved_reference or ":" in flags.resolved_reference)
    return not flags.is_folder or ":" in flags.reference


EVALUATE = (
    *PLACEMENT,
    Dependency(
        ("checkpoint", "generator_weights", "seed", "num_samples", "evaluation_labels"),
        "--run_dir",
        lambda flags: flags.run_dir,
    ),
    Dependency(("evaluation_labels",), "a run with classes", lambda flags: flags.has_classes),
    Dependency(("image_channels",), "--images", lambda flags: flags.images),
    Dependency(("resolution",), "--images=DATASET:SPLIT", lambda flags: flags.images and not flags.is_folder),
    Dependency(
        ("data_dir",),
        "--images=DATASET:SPLIT, --reference=DATASET:SPLIT, or a run that is compared with its own data",
        _reads_data_dir,
    ),
    Dependency(("evaluate_every", "collapse_patience"), "sagan_tf.train", lambda flags: False),
    Dependency(("num_samples",), UNSIZED_METRIC, lambda flags: has_unsized_metric(flags.resolved_metrics)),
    *REFERENCE,
    Dependency(("inception_dir",), "--extractor=inception", lambda flags: flags.resolved_extractor == "inception"),
    Dependency(
        ("extractor_features", "extractor_logits"),
        "--extractor=inception or the directory of a SavedModel",
        # Without --extractor a run's own --extractor, --extractor_features and --extractor_logits are used together.
        lambda flags: (
            flags.resolved_extractor not in PACKAGED_EXTRACTORS and not (flags.run_dir and not flags.extractor)
        ),
    ),
)
"""Facts, not flags: `is_folder` (of --images), `has_classes` (of the run), `is_compared`, and what is used in the end:
`resolved_metrics`, `resolved_extractor` and `resolved_reference`."""
