"""Which precision and accumulation the measurements speak for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tools.gpu_checking.forms import FORMS

LARGEST_RELATIVE_DIFFERENCE = 1e-3
"""Between the metrics of a first step on two devices, both in float32: rounding makes them differ by 1e-6 to 1e-4."""
_WORTHWHILE = 1.1
"""How many times faster a less exact form has to be."""
_USED_SHARE_OF_MEMORY = 0.9


def recommend(
    forms: Mapping[str, Mapping[str, Any]], replica_batch_size: int, memory_bytes: int | None
) -> dict[str, Any]:
    """Choose the fastest form that worked, and the fewest parts of a batch that fit into memory.

    Args:
        forms: What was measured, by the form's name, see `check.measure_form`; the most exact ones first. One that
            comes later is chosen only where it is a tenth faster.
        replica_batch_size: Images of one replica in a step.
        memory_bytes: Memory of a GPU; None if it is not known.

    Returns:
        `form`, `images_per_second`, `flags`, and `largest_part`, the images of a part that fit into memory (None if
        that is not known); empty if no form worked.
    """
    chosen = ""
    speeds = {name: one["images_per_second"] for name, one in forms.items() if "images_per_second" in one}
    for name, speed in speeds.items():
        if not chosen or speed > _WORTHWHILE * speeds[chosen]:
            chosen = name
    if not chosen:
        return {}
    parts, peak = forms[chosen]["gradient_accumulation_steps"], forms[chosen]["peak_memory_bytes"]
    largest = None
    if memory_bytes:
        # A part's memory is at most proportional to its images: the weights do not grow with them.
        largest = math.floor(replica_batch_size / parts * _USED_SHARE_OF_MEMORY * memory_bytes / peak)
        parts = _fewest_parts(replica_batch_size, largest, parts)
    flags = [*FORMS[chosen].flags, f"--gradient_accumulation_steps={parts}"]
    return {"form": chosen, "images_per_second": speeds[chosen], "flags": flags, "largest_part": largest}


def _fewest_parts(batch_size: int, largest_part: int, measured_parts: int) -> int:
    """Return the least number of equal parts that fit; the measured one, which did, if no smaller number does."""
    fitting = [
        parts for parts in range(1, measured_parts) if batch_size % parts == 0 and batch_size // parts <= largest_part
    ]
    return min(fitting, default=measured_parts)


def compare_steps(reference: Mapping[str, float], metrics: Mapping[str, float]) -> dict[str, Any]:
    """Compare the metrics of one training step on two devices.

    Returns:
        `largest_relative_difference`, the metric that has it, and whether it `agrees` within the limit. Metrics below
        1e-3 are compared absolutely, as if they were 1e-3.
    """
    differences = {
        name: abs(metrics[name] - value) / max(abs(value), LARGEST_RELATIVE_DIFFERENCE)
        for name, value in reference.items()
    }
    worst = max(differences, key=lambda name: math.inf if math.isnan(differences[name]) else differences[name])
    found = differences[worst]
    return {"largest_relative_difference": found, "metric": worst, "agrees": found <= LARGEST_RELATIVE_DIFFERENCE}
