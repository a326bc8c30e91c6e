"""Options of sagan_tf.evaluate that have an effect only together with other options."""

from __future__ import annotations

from typing import Any

from sagan_tf.config.dependent_options.common import (
    DEVICE_DEPENDENCIES,
    HELD_OUT_METRIC_CONDITION,
    REFERENCE_DEPENDENCIES,
    UNSIZED_METRIC_CONDITION,
    has_held_out_metric,
    has_unsized_metric,
)
from sagan_tf.config.dependent_options.dependency import Dependency
from sagan_tf.config.option_names import PACKAGED_EXTRACTORS


def _reads_data_dir(options: Any) -> bool:
    if options.run_dir:  # Without --reference, the run is compared with its own reference or its training split.
        is_read = not options.resolved_reference or ":" in options.resolved_reference
        return options.needs_real_images and (is_read or _is_held_out_in_data_dir(options))
    return not options.is_directory or ":" in options.reference or _is_held_out_in_data_dir(options)


def _is_held_out_in_data_dir(options: Any) -> bool:
    return ":" in options.resolved_held_out and has_held_out_metric(options.resolved_metrics)


EVALUATE = (
    *DEVICE_DEPENDENCIES,
    Dependency(
        ("checkpoint", "generator_weights", "seed", "num_samples", "evaluation_labels"),
        "--run_dir",
        lambda options: options.run_dir,
    ),
    Dependency(("evaluation_labels",), "a run with classes", lambda options: options.has_classes),
    Dependency(("image_channels",), "--images", lambda options: options.images),
    Dependency(("resolution",), "--images=DATASET:SPLIT", lambda options: options.images and not options.is_directory),
    Dependency(
        ("data_dir",),
        "--images=DATASET:SPLIT, --reference=DATASET:SPLIT, or a run that is compared with its own data",
        _reads_data_dir,
    ),
    Dependency(("held_out",), HELD_OUT_METRIC_CONDITION, lambda options: has_held_out_metric(options.resolved_metrics)),
    Dependency(("evaluate_every", "collapse_patience"), "sagan_tf.train", lambda options: False),
    Dependency(
        ("num_samples",), UNSIZED_METRIC_CONDITION, lambda options: has_unsized_metric(options.resolved_metrics)
    ),
    *REFERENCE_DEPENDENCIES,
    Dependency(
        ("extractor", "inception_dir", "extractor_features", "extractor_logits", "reference_dir"),
        "a metric other than classification_accuracy_score",
        lambda options: options.uses_extractor,
    ),
    Dependency(("inception_dir",), "--extractor=inception", lambda options: options.resolved_extractor == "inception"),
    Dependency(
        ("extractor_features", "extractor_logits"),
        "--extractor=inception or the directory of a SavedModel",
        # Without --extractor, the run's --extractor, --extractor_features and --extractor_logits are used together.
        lambda options: (
            options.resolved_extractor not in PACKAGED_EXTRACTORS and not (options.run_dir and not options.extractor)
        ),
    ),
)
"""The conditions use these facts beside the options: whether --images is a directory (`is_directory`), whether the run
has classes (`has_classes`), whether metrics or labels need real images (`needs_real_images`), whether a metric uses an
extractor (`uses_extractor`), and the values that apply in the end (`resolved_metrics`, `resolved_extractor`,
`resolved_reference`, `resolved_held_out`)."""
