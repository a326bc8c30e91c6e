"""Which precision and accumulation the measurements speak for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tools.gpu_checking.forms import FORMS
from tools.gpu_checking.parts import possible_parts

LARGEST_RELATIVE_DIFFERENCE = 1e-3
"""Between the metrics of a first step on two devices, both in float32: rounding makes them differ by 1e-6 to 1e-4."""
_WORTHWHILE = 1.1
"""How many times faster a less exact form has to be."""
_USED_SHARE_OF_MEMORY = 0.9


def recommend(
    forms: Mapping[str, Mapping[str, Any]], batch_size: int, gpu_memory: Sequence[int], group_size: int = 0
) -> dict[str, Any]:
    """Choose the fastest form that worked, and the fewest parts of a batch that fit into memory.

    Args:
        forms: What was measured, by the form's name, see `timing.measure_form`; the most exact ones first. One that
            comes later is chosen only where it is a tenth faster.
        batch_size: Images of all replicas in a step.
        gpu_memory: Memory of the GPUs in bytes, in TensorFlow's order; empty if it is not known.
        group_size: `--discriminator_minibatch_statistics`; 0 for none.

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
    parts, replicas = forms[chosen]["gradient_accumulation_steps"], forms[chosen]["replicas"]
    largest = None
    if gpu_memory:
        # A part's memory is at most proportional to its images: the weights do not grow with them.
        memory = _USED_SHARE_OF_MEMORY * min(gpu_memory[:replicas])
        largest = math.floor(batch_size // replicas / parts * memory / forms[chosen]["peak_memory_bytes"])
        possible = possible_parts(batch_size, replicas, group_size)
        fitting = [one for one in possible if one < parts and batch_size // (one * replicas) <= largest]
        parts = min(fitting, default=parts)  # the measured number did fit, whatever the estimate says
    flags = [*FORMS[chosen].flags, f"--gradient_accumulation_steps={parts}"]
    return {"form": chosen, "images_per_second": speeds[chosen], "flags": flags, "largest_part": largest}


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
