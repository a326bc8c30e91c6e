"""Rows and conditions that the tables of several commands share."""

from __future__ import annotations

from sagan_tf.config.dependent_options.dependency import Dependency
from sagan_tf.config.metric_names import split_metric_name
from sagan_tf.config.option_names import METRICS_WITH_HELD_OUT

UNSIZED_METRIC_CONDITION = "a metric without a number in --metrics, such as fid"
HELD_OUT_METRIC_CONDITION = f"{' or '.join(METRICS_WITH_HELD_OUT)} in --metrics"
PACKAGED_DATASET = "fashion_mnist_10k"
DEVICE_DEPENDENCIES = (
    Dependency(
        ("logical_cpus",), "--strategy=auto or mirrored", lambda options: options.strategy in ("auto", "mirrored")
    ),
)
# `needs_real_images` is a fact and not computed from the options here, because a run may supply empty options.
REFERENCE_DEPENDENCIES = (
    Dependency(
        ("reference", "reference_dir"),
        "a metric that compares with real images",
        lambda options: options.needs_real_images,
    ),
    Dependency(
        ("reference_dir",),
        "a --reference other than an .npz file",
        lambda options: not options.reference.endswith(".npz"),
    ),
)


def is_split_in_data_dir(text: str) -> bool:
    """Return whether text is the DATASET:SPLIT of a data set in --data_dir."""
    return ":" in text and not text.startswith(f"{PACKAGED_DATASET}:")


def has_unsized_metric(names: tuple[str, ...]) -> bool:
    """Return whether a metric has no number of images in its name, such as fid."""
    return any(split_metric_name(name)[1] is None for name in names)


def has_held_out_metric(names: tuple[str, ...]) -> bool:
    """Return whether a metric needs held-out images, such as authenticity10k."""
    return any(split_metric_name(name)[0] in METRICS_WITH_HELD_OUT for name in names)
