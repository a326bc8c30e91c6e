"""Rows, names and conditions that several commands share."""

from __future__ import annotations

import re

from sagan_tf.config.dependent_options.dependency import Dependency

_SIZED = re.compile(r"\dk$")
UNSIZED_METRIC = "a metric without a number in --metrics, such as fid"
PACKAGED = "fashion_mnist_10k"
"""The packaged data set."""
PACKAGED_EXTRACTORS = ("fashion_mnist", "efficientnet_lite0")
PLACEMENT = (
    Dependency(("logical_cpus",), "--strategy=auto or mirrored", lambda flags: flags.strategy in ("auto", "mirrored")),
)
# With the fact `is_compared`, since a run may fill in what the flags leave empty.
REFERENCE = (
    Dependency(
        ("reference", "reference_dir"), "a metric that compares with real images", lambda flags: flags.is_compared
    ),
    Dependency(
        ("reference_dir",), "a --reference other than a file", lambda flags: not flags.reference.endswith(".npz")
    ),
)


def names_split_in_data_dir(text: str) -> bool:
    """Return whether `text` is the DATASET:SPLIT of a data set that is read from --data_dir."""
    return ":" in text and not text.startswith(f"{PACKAGED}:")


def has_unsized_metric(names: tuple[str, ...]) -> bool:
    """Return whether a metric has no number of images in its name, such as fid."""
    return not all(_SIZED.search(name) for name in names)
