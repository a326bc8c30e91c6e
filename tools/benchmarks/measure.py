"""Parts that all measurements share: medians with their spread, peak memory, and facts about the machine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
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


def collect_machine_facts() -> dict[str, Any]:
    """Return processor, cores, memory and versions."""
    from importlib import metadata

    return {
        "processor": _read_processor_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "tensorflow": _find_tensorflow_version(),
        "keras": metadata.version("keras"),
    }


def describe_machine(about: dict[str, Any]) -> str:
    """Return one line about the machine that `collect_machine_facts` describes."""
    memory = about["memory_bytes"] / 2**30
    return (
        f"{about['processor']}, {about['cores']} cores, {memory:.0f} GiB; Python {about['python']}, "
        f"TensorFlow {about['tensorflow']}, Keras {about['keras']}"
    )


def _find_tensorflow_version() -> str:
    """Return the version of TensorFlow, which several packages provide."""
    from importlib import metadata

    for name in ("tensorflow", "tensorflow-cpu", "tensorflow-tpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return "unknown"


def _read_processor_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _format_duration(seconds: float) -> str:
    if seconds >= 1.0:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"
