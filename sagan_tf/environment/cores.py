"""CPU cores that this process may use, which may be fewer than those of the machine."""

from __future__ import annotations

import os


def list_usable_cores() -> list[int]:
    """Return the numbers of the cores that this process may use; empty if the system cannot tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def count_usable_cores() -> int:
    """Return the number of cores that this process may use, or that of all cores if the system cannot tell."""
    return len(list_usable_cores()) or os.cpu_count() or 1
