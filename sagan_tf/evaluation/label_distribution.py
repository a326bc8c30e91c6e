"""Labels of generated images: drawn uniformly, or in the proportions of the classes of a reference."""

from __future__ import annotations

import logging

import numpy as np

from sagan_tf.class_labels import check_every_class_has_images, find_class_indices
from sagan_tf.data.class_balance import MAX_IMBALANCE, compute_imbalance
from sagan_tf.errors import UserError
from sagan_tf.evaluation.reference import Reference

_logger = logging.getLogger("sagan_tf")
AUTO, UNIFORM, REFERENCE = "auto", "uniform", "reference"
"""Values of the option `evaluation_labels`."""


def match_classes(
    class_names: tuple[str, ...], reference_class_names: tuple[str, ...], reference_name: str
) -> np.ndarray:
    """Return the class index in a reference of each class of a generator.

    Args:
        class_names: Class names of the generator; empty if it takes no labels.
        reference_class_names: Class names of the reference; empty if its images have no labels.
        reference_name: Name of the reference, for messages.

    Raises:
        UserError: The generator or the reference has no classes, or their classes differ.
    """
    reason = "the generator takes no labels" if not class_names else f"{reference_name} has no labels"
    if not class_names or not reference_class_names:
        raise UserError(f"evaluation_labels: expected uniform, since {reason}, received reference")
    indices = find_class_indices("evaluation_labels=reference", class_names, reference_class_names, "the reference")
    check_every_class_has_images("evaluation_labels=reference", indices, reference_class_names)
    return indices


def count_classes(class_names: tuple[str, ...], reference: Reference) -> tuple[int, ...]:
    """Return the number of reference images of each class of a generator.

    Raises:
        UserError: The generator or the reference has no classes, or their classes differ.
    """
    reference_class_names = reference.provenance.class_names
    indices = match_classes(class_names, reference_class_names, reference.provenance.images)
    counts = reference.statistics.class_counts
    return tuple(np.pad(counts, (0, max(len(reference_class_names) - len(counts), 0)))[indices].tolist())


def warn_if_unbalanced(class_names: tuple[str, ...], reference: Reference) -> None:
    """Log a warning if a reference with the generator's classes is far from uniform."""
    try:
        counts = np.array(count_classes(class_names, reference))
    except UserError:  # without the same classes, labels can only be drawn uniformly
        return
    shares = counts / counts.sum()
    distance = float(np.abs(shares - 1.0 / len(shares)).sum()) / 2.0
    if compute_imbalance(counts) > MAX_IMBALANCE:
        _logger.warning(
            "labels of generated images are drawn uniformly, but the reference is unbalanced (total variation distance "
            "%.2f; %.1f %% of %s are of class %s), so that metrics that compare with it also measure this difference; "
            "to draw labels in its proportions, pass --evaluation_labels=reference",
            distance,
            100.0 * shares.max(),
            reference.provenance.images,
            class_names[int(shares.argmax())],
        )
