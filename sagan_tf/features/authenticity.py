"""Authenticity: whether generated images are copies of training images."""

from __future__ import annotations

import logging

import numpy as np

from sagan_tf.features.squared_distances import map_squared_distances

_logger = logging.getLogger("sagan_tf")
_NEAREST_FRACTION = 0.01
"""Fraction of held-out images that set the limit of `near_copies`."""
_MIN_HELD_OUT = 100
"""Held-out images of which that fraction is at least one image."""


def compute_authenticity(fake: np.ndarray, real: np.ndarray, held_out: np.ndarray) -> dict[str, float]:
    """Return how often features are nearer to a training feature than training features are to each other.

    Args:
        fake: `[n, d]`, features of generated images.
        real: `[m, d]`, features of training images, m above 1.
        held_out: `[k, d]`, features of real images that were not trained on.

    Returns:
        `authenticity`: the fraction of fake features that are farther from their nearest training feature than that
        is from the nearest different one (AuthPct). `held_out`: the same fraction of the held-out features.
        `near_copies`: the fraction of fake features whose relative distance is at most that of the nearest 1 % of
        held-out features.

    Reference: Alaa et al., How Faithful is your Synthetic Data?, ICML 2022; `near_copies` is this project's.
    """
    distances = compute_relative_distances(fake, real)
    held_out_distances = compute_relative_distances(held_out, real)
    limit = np.quantile(held_out_distances, _NEAREST_FRACTION, method="lower")
    _warn_of_uncertain_limit(len(held_out), float(limit))
    return {
        "authenticity": float(np.mean(distances > 1.0)),
        "held_out": float(np.mean(held_out_distances > 1.0)),
        "near_copies": float(np.mean(distances <= limit)),
    }


def compute_relative_distances(points: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return the distance of each point to its nearest training point, relative to that point's own neighbor.

    The distance is divided by the distance from the nearest training point to the nearest different training point.
    Copies of a training point among the training points count once, so that a near copy of it is near. A point that is
    equal to a training point has the relative distance 0.

    Args:
        points: `[n, d]`.
        training: `[m, d]`, m above 1.

    Returns:
        float64 `[n]`, at least 0; infinite for points other than the only training point if all of them are equal.
    """
    training = _remove_duplicates(training)
    nearest = _find_nearest(points, training)
    found, indices = np.unique(nearest, return_inverse=True)
    neighbors = _find_nearest(training[found], training, excluded=found)
    # Distances are computed once more from differences: the squares in the matrix are inexact for near copies.
    distances = _compute_distances(points, training[nearest])
    radii = _compute_distances(training[found], training[neighbors])[indices]
    unknown = np.where(distances > 0.0, np.inf, 0.0)
    return np.divide(distances, radii, out=unknown, where=radii > 0.0)


def _warn_of_uncertain_limit(num_held_out: int, limit: float) -> None:
    """Warn if the limit of `near_copies` is set by a single held-out image or by copies of training images."""
    if num_held_out < _MIN_HELD_OUT:
        _logger.warning(
            "held_out: near_copies needs at least %d images, received %d; its limit is the distance of a single one; "
            "use more held-out images",
            _MIN_HELD_OUT,
            num_held_out,
        )
    if limit == 0.0:
        _logger.warning(
            "held_out: %g %% of the %d images or more equal training images, so that near_copies counts exact copies "
            "only; remove these images from the held-out images",
            100.0 * _NEAREST_FRACTION,
            num_held_out,
        )


def _remove_duplicates(points: np.ndarray) -> np.ndarray:
    """Return each point once, in the order of first occurrence."""
    rows = np.ascontiguousarray(points + 0.0)  # -0.0 becomes 0.0, whose bytes differ
    _, first = np.unique(rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel(), return_index=True)
    return points[np.sort(first)]


def _find_nearest(points: np.ndarray, training: np.ndarray, excluded: np.ndarray | None = None) -> np.ndarray:
    """Return the index of the training point nearest to each point, other than the index in `excluded`."""

    def find(start: int, squares: np.ndarray) -> np.ndarray:
        if excluded is not None:
            squares[np.arange(len(squares)), excluded[start : start + len(squares)]] = np.inf
        return squares.argmin(1)

    return np.concatenate(map_squared_distances(find, points, training))


def _compute_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the distances of paired points."""
    return np.linalg.norm(first.astype(np.float64) - second, axis=1)
