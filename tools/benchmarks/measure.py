"""Parts that all measurements share: medians with their spread, and peak memory."""

from __future__ import annotations

import dataclasses
import resource
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

from sagan_tf.errors import UserError

_MIN_ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A measurement that a worker has prepared.

    Attributes:
        run: A function that measures once.
        about: Facts that are known before the first measurement.
    """

    run: Callable[[], dict[str, Any]]
    about: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Timing:
    """Repeated measurements of one operation.

    Attributes:
        seconds: The seconds of each measurement.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the median, which a single run slowed down by other load does not change."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """Return the shortest and the longest measurement."""
        return min(self.seconds), max(self.seconds)

    def __str__(self) -> str:
        least, most = self.spread
        return f"{_format_duration(self.median)} ({_format_duration(least)} to {_format_duration(most)})"


def compute_median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Compute the median of the ratios of pairs that were measured in succession."""
    pairs = zip(numerators, denominators, strict=True)
    return statistics.median(numerator / denominator for numerator, denominator in pairs)


def check_rounds(rounds: int) -> None:
    """Raise UserError for so few rounds that one of them, slowed down by other load, could change the median."""
    if rounds < _MIN_ROUNDS:
        raise UserError(f"rounds: expected at least {_MIN_ROUNDS}, received {rounds}")


def read_resident_memory_bytes() -> int:
    """Read the resident memory of this process, or its peak on systems other than Linux."""
    return _read_memory_bytes("VmRSS")


def read_peak_memory_bytes() -> int:
    """Read the peak resident memory of this process so far."""
    return _read_memory_bytes("VmHWM")


def _read_memory_bytes(field: str) -> int:
    """Read a field of the status of this process, or the peak resident memory on systems other than Linux."""
    # Avoid ru_maxrss on Linux, where a child process inherits the maximum of its parent.
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _format_duration(seconds: float) -> str:
    if seconds >= 1.0:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"
