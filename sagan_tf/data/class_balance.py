"""The imbalance of class counts."""

from __future__ import annotations

import math

import numpy as np

MAX_IMBALANCE = 0.1
"""Value of `compute_imbalance` above which classes are called unbalanced."""


def compute_imbalance(counts: np.ndarray) -> float:
    """Return how far class counts are from equal counts, beyond what is expected of a random sample.

    Args:
        counts: Number of images of each class, integers [classes], not all 0.

    Returns:
        The total variation distance of the shares of the classes from uniform, less the distance that is expected of
        as many images of balanced classes. Between about 0 and 1.
    """
    shares = counts / counts.sum()
    distance = float(np.abs(shares - 1.0 / len(shares)).sum()) / 2.0
    # In a random sample of n images of K balanced classes, each |share - 1/K| is sqrt(2 / (pi K n)) on average, and the
    # distance is K / 2 times as much.
    return distance - math.sqrt((len(shares) - 1) / (2.0 * math.pi * counts.sum()))
