"""What every benchmark measures with: medians with their spread, peak memory, and what the machine is."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import resource
import statistics
import sys
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Timing:
    """Repeated measurements of one thing, in seconds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median: one slow run, when something else took the processor, does not move it."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """The shortest and the longest."""
        return min(self.seconds), max(self.seconds)

    def __str__(self) -> str:
        least, most = self.spread
        return f"{_duration(self.median)} ({_duration(least)} to {_duration(most)})"


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Return the median of the ratios of pairs that were measured one right after the other."""
    return statistics.median(one / other for one, other in zip(numerators, denominators, strict=True))


def peak_memory_bytes() -> int:
    """Return the most memory that this process has had resident so far."""
    # Not ru_maxrss where it can be helped: Linux hands a parent's maximum down to its children.
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def machine() -> dict[str, Any]:
    """Processor, cores, memory and versions, for the record."""
    from importlib import metadata

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "tensorflow": _tensorflow_version(),
        "keras": metadata.version("keras"),
    }


def _tensorflow_version() -> str:
    """Return the version of TensorFlow under whatever name it is installed."""
    from importlib import metadata

    for name in ("tensorflow", "tensorflow-cpu", "tensorflow-tpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return "unknown"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _duration(seconds: float) -> str:
    if seconds >= 1.0:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"
