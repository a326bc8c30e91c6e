"""Recommendation of precision and gradient accumulation, from the measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tools.gpu_checking.forms import FORMS
from tools.gpu_checking.parts import find_possible_parts

MAX_RELATIVE_DIFFERENCE = 1e-3
"""Limit between the metrics of a first step on two devices in float32; rounding alone gives 1e-6 to 1e-4."""
_MIN_SPEEDUP = 1.1
"""Speed of a less exact form / speed of a more exact one, above which it is recommended."""
_USABLE_MEMORY_FRACTION = 0.9


def recommend(
    forms: Mapping[str, Mapping[str, Any]], batch_size: int, gpu_memory: Sequence[int], group_size: int = 0
) -> dict[str, Any]:
    """Choose the fastest form, and the fewest parts of a batch that fit into memory.

    Args:
        forms: The measurements by name of the form, see `timing.measure_form`; the most exact forms first. A later form
            is chosen only if it is a tenth faster.
        batch_size: Images of a step over all replicas.
        gpu_memory: Memory of the GPUs in bytes, in TensorFlow's order; empty if it is unknown.
        group_size: `--discriminator_minibatch_statistics`; 0 for none.

    Returns:
        `form`, `images_per_second`, `flags`, and `largest_part`, the number of images of a part that fit into memory
        (None if it is unknown); empty if no form could be measured.
    """
    chosen = ""
    speeds = {name: answer["images_per_second"] for name, answer in forms.items() if "images_per_second" in answer}
    for name, speed in speeds.items():
        if not chosen or speed > _MIN_SPEEDUP * speeds[chosen]:
            chosen = name
    if not chosen:
        return {}
    parts, replicas = forms[chosen]["gradient_accumulation_steps"], forms[chosen]["replicas"]
    largest = None
    if gpu_memory:
        # The memory of a part is at most proportional to its images, since that of the weights is constant.
        memory = _USABLE_MEMORY_FRACTION * min(gpu_memory[:replicas])
        largest = math.floor(batch_size // replicas / parts * memory / forms[chosen]["peak_memory_bytes"])
        possible = find_possible_parts(batch_size, replicas, group_size)
        fitting = [fewer for fewer in possible if fewer < parts and batch_size // (fewer * replicas) <= largest]
        parts = min(fitting, default=parts)  # The measured number fits, whatever the estimate is.
    flags = [*FORMS[chosen].flags, f"--gradient_accumulation_steps={parts}"]
    return {"form": chosen, "images_per_second": speeds[chosen], "flags": flags, "largest_part": largest}


def compare_steps(reference: Mapping[str, float], metrics: Mapping[str, float]) -> dict[str, Any]:
    """Compare the metrics of one training step on two devices.

    Args:
        reference: The metrics on the first device.
        metrics: The metrics on the second device.

    Returns:
        `largest_relative_difference`; `metric`, the name of the metric with it; and `agrees`, whether it is within
        `MAX_RELATIVE_DIFFERENCE`. The differences of metrics below 1e-3 are relative to 1e-3.
    """
    differences = {
        name: abs(metrics[name] - value) / max(abs(value), MAX_RELATIVE_DIFFERENCE) for name, value in reference.items()
    }
    worst = max(differences, key=lambda name: math.inf if math.isnan(differences[name]) else differences[name])
    largest = differences[worst]
    return {"largest_relative_difference": largest, "metric": worst, "agrees": largest <= MAX_RELATIVE_DIFFERENCE}
