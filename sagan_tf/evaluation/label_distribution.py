"""Labels of generated images: drawn uniformly, or in the proportions of the classes of a reference."""

from __future__ import annotations

import logging
import math

import numpy as np

from sagan_tf.class_labels import check_all_classes, class_numbers
from sagan_tf.errors import UserError
from sagan_tf.evaluation.reference import Reference

_logger = logging.getLogger("sagan_tf")
AUTO, UNIFORM, REFERENCE = "auto", "uniform", "reference"
"""Values of the option `evaluation_labels`."""
MAX_DISTANCE_FROM_UNIFORM = 0.1
"""Total variation distance of a reference's classes from uniform, beyond that expected of a random sample, above which
a warning is due."""


def match_classes(class_names: tuple[str, ...], known: tuple[str, ...], reference_name: str) -> np.ndarray:
    """Return the number that each of a generator's classes has in a reference.

    Args:
        class_names: of the generator; empty if it takes no labels.
        known: of the reference; empty if its images have no labels.
        reference_name: of the reference, for messages.

    Raises:
        UserError: one of them has no classes, or they are not the same classes.
    """
    missing = "the generator takes no labels" if not class_names else f"{reference_name} has no labels"
    if not class_names or not known:
        raise UserError(f"evaluation_labels: expected uniform, since {missing}, received reference")
    numbers = class_numbers("evaluation_labels=reference", class_names, known, "the reference")
    check_all_classes("evaluation_labels=reference", numbers, known)
    return numbers


def count_classes(class_names: tuple[str, ...], reference: Reference) -> tuple[int, ...]:
    """Return the number of images that a reference has of each of a generator's classes.

    Raises:
        UserError: see `match_classes`.
    """
    known = reference.provenance.class_names
    numbers = match_classes(class_names, known, reference.provenance.images)
    counts = reference.gathered.class_counts
    return tuple(np.pad(counts, (0, max(len(known) - len(counts), 0)))[numbers].tolist())


def warn_if_unbalanced(class_names: tuple[str, ...], reference: Reference) -> None:
    """Log a warning if uniform labels are far from those of a reference with the generator's classes."""
    try:
        counts = np.array(count_classes(class_names, reference))
    except UserError:  # without the same classes there is nothing to compare, and no other choice
        return
    shares = counts / counts.sum()
    distance = float(np.abs(shares - 1.0 / len(shares)).sum()) / 2.0
    # For a sample of balanced classes, each |share - 1/K| is sqrt(2 / (pi K n)) on average; times K / 2.
    expected_distance = math.sqrt((len(shares) - 1) / (2.0 * math.pi * counts.sum()))
    if distance - expected_distance > MAX_DISTANCE_FROM_UNIFORM:
        _logger.warning(
            "labels of generated images are drawn uniformly, but the classes of the reference are not (total variation "
            "distance %.2f; %.1f %% of %s are of class %s), and metrics that compare with this reference then also "
            "measure this difference; --evaluation_labels=reference draws labels in its proportions",
            distance,
            100.0 * shares.max(),
            reference.provenance.images,
            class_names[int(shares.argmax())],
        )
