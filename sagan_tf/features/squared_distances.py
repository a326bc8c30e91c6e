"""Squared distances between the features of two image sets, in parts of the whole matrix."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from sagan_tf.environment.cores import count_usable_cores

_MAX_DISTANCES_PER_THREAD = 2**22
"""Squared distances that one thread holds at a time: 32 MiB."""
_MAX_THREADS = 8
_Part = TypeVar("_Part")


def compute_squared_radii(points: np.ndarray, neighbors: int) -> np.ndarray:
    """Return the squared distance of each point to its `neighbors`-th nearest other."""

    def find(start: int, squares: np.ndarray) -> np.ndarray:
        squares.partition(neighbors, 1)  # a point's distance to itself, 0, comes first
        return squares[:, neighbors].copy()

    # Rounding may leave the square of a small distance below 0.
    return np.maximum(np.concatenate(map_squared_distances(find, points, points)), 0.0)


def map_squared_distances(
    function: Callable[[int, np.ndarray], _Part], rows: np.ndarray, columns: np.ndarray
) -> list[_Part]:
    """Call a function for parts of the matrix of squared distances, on all cores that this process may use.

    Args:
        function: Called with the index of the first row and float64 `[some rows, columns]`, which it may overwrite.
            The square of a small distance may be rounded below 0.
        rows: `[n, d]`.
        columns: `[m, d]`.

    Returns:
        The results of the function, in the order of the rows.
    """
    columns = columns.astype(np.float64)  # in float32, the distance of nearby points would be lost in rounding
    norms = np.sum(np.square(columns), 1)
    rows_per_part = max(1, _MAX_DISTANCES_PER_THREAD // len(columns))

    def compute(start: int) -> _Part:
        part: np.ndarray = rows[start : start + rows_per_part].astype(np.float64)
        squares = np.sum(np.square(part), 1)[:, None] + norms
        squares -= 2.0 * part @ columns.T
        return function(start, squares)

    with concurrent.futures.ThreadPoolExecutor(min(count_usable_cores(), _MAX_THREADS)) as pool:
        return list(pool.map(compute, range(0, len(rows), rows_per_part)))
