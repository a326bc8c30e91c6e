"""Tables that `tools/gpu_check.py` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Rows = list[list[str]]


def format_environment(found: Mapping[str, Any]) -> Rows:
    """Return rows with the devices and the libraries."""
    environment = found["environment"]
    if "error" in environment:
        return [["environment", environment["error"]]]
    build = environment["tensorflow_build"]
    rows = [
        ["GPU", f"{gpu['name']}: {gpu['device']}, compute capability {gpu['compute_capability']}"]
        for gpu in environment["gpus"]
    ] or [["GPU", "none that TensorFlow can use"]]
    if environment["has_tpu"] and not environment["gpus"]:
        rows.append(["TPU", "not checked: this tool checks GPUs and CPUs only"])
    rows += [
        ["memory", f"{gpu['memory.used']} of {gpu['memory.total']} MiB used"] for gpu in _find_used_gpus(environment)
    ]
    rows.append(["driver", environment["driver"] or "not found"])
    rows += [["preflight", message] for message in environment["preflight"]]
    libraries = f"CUDA {build['cuda_version']}, cuDNN {build['cudnn_version']}" if build["is_cuda_build"] else "no CUDA"
    rows.append(["TensorFlow's build", libraries])
    rows.append(["packages", ", ".join(f"{name} {version}" for name, version in environment["packages"].items())])
    return rows


def format_throughput(found: Mapping[str, Any]) -> Rows:
    """Return rows with the speed of all-reduce and of decoding."""
    decoding = found["decoding"]
    return [
        ["all-reduce", _format_all_reduce(found["all_reduce"])],
        ["decoding", decoding.get("error") or f"{decoding['images_per_second']:,.0f} images/s"],
    ]


def format_forms(found: Mapping[str, Any]) -> Rows:
    """Return a heading, and rows with speed and memory of each form, or its error."""
    rows = [["form", "first step", "a step", "images/s", "peak memory", "parts of the batch", ""]]
    for name, answer in found["forms"].items():
        if "images_per_second" in answer:
            cells = [
                f"{answer['first_step_seconds']:.0f} s",
                f"{answer['step_seconds'] * 1e3:,.0f} ms",
                f"{answer['images_per_second']:,.1f}",
                f"{answer['peak_memory_bytes'] / 2**30:.1f} GiB",
                str(answer["gradient_accumulation_steps"]),
            ]
            rows.append([name, *cells, ""])
        else:
            rows.append([name, *[""] * 5, answer.get("skipped") or answer["error"]])
    return rows


def format_conclusion(found: Mapping[str, Any]) -> Rows:
    """Return rows with the comparison of GPU and CPU, and the recommended flags."""
    comparison = found["comparison"]
    if "agrees" in comparison:
        text = "agrees" if comparison["agrees"] else "DIFFERS"
        text += f": by at most {comparison['largest_relative_difference']:.1e}, {comparison['metric']}"
    else:
        text = comparison.get("skipped") or comparison["error"]
    recommendation = found["recommendation"]
    flags = " ".join(recommendation["flags"]) if recommendation else "none: no form worked"
    rows = [["first step against the CPU's", text], ["recommended flags", flags]]
    if recommendation.get("largest_part"):
        rows.append(["largest part of a batch", f"{recommendation['largest_part']} images fit into a GPU's memory"])
    return rows


def _find_used_gpus(environment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what `nvidia-smi` reports about the GPUs that TensorFlow lists.

    If none of the reported GPUs is among those, all are returned.
    """
    uuids = [gpu["uuid"] for gpu in environment["gpus"]]
    reported = environment["nvidia_smi"]
    return [gpu for gpu in reported if gpu["uuid"] in uuids] or reported


def _format_all_reduce(measured: Mapping[str, Any]) -> str:
    if not measured:
        return "one device"
    if "error" in measured:
        hint = "NCCL_DEBUG=INFO shows more, NCCL_P2P_DISABLE=1 disables direct transfers between GPUs"
        return f"{measured['error']}; {hint}"
    speed = measured["bus_bytes_per_second"] / 1e9
    return f"{measured['bytes'] / 2**20:.0f} MiB over {measured['replicas']} replicas: {speed:.1f} GB/s"
