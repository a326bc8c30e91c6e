from __future__ import annotations

from typing import Any

from tools.gpu_checking.tables import format_conclusion, format_environment, format_forms, format_throughput

BUILD = {"is_cuda_build": True, "cuda_version": "12.5.1", "cudnn_version": "9", "cuda_compute_capabilities": ["sm_80"]}
ENVIRONMENT: dict[str, Any] = {
    "gpus": [{"name": "GPU:0", "device": "NVIDIA A100", "compute_capability": "8.0", "uuid": "GPU-1"}],
    "has_tpu": False,
    "nvidia_smi": [
        {"uuid": "GPU-0", "memory.used": "1", "memory.total": "2048"},
        {"uuid": "GPU-1", "memory.used": "3", "memory.total": "40960"},
    ],
    "driver": None,
    "preflight": ["the driver is too old"],
    "tensorflow_build": BUILD,
    "packages": {"tensorflow": "2.21.0"},
}


def text(rows: list[list[str]]) -> str:
    return "\n".join("  ".join(row) for row in rows)


def test_the_environment_is_shown() -> None:
    shown = text(format_environment({"environment": ENVIRONMENT}))
    for part in ("NVIDIA A100", "8.0", "40960", "12.5.1", "too old", "tensorflow 2.21.0"):
        assert part in shown
    assert "2048" not in shown and "TPU" not in shown  # TensorFlow does not use this GPU.
    assert format_environment({"environment": {"error": "it crashed"}})[0][1] == "it crashed"


def test_the_table_says_that_a_tpu_is_not_checked() -> None:
    rows = dict(format_environment({"environment": ENVIRONMENT | {"gpus": [], "has_tpu": True}}))
    assert "GPUs and CPUs only" in rows["TPU"]


def test_throughput_is_shown() -> None:
    reduced = {"bus_bytes_per_second": 2e11, "bytes": 2**26, "replicas": 8}
    shown = text(format_throughput({"all_reduce": reduced, "decoding": {"error": "no data"}}))
    assert "8 replicas: 200.0 GB/s" in shown and "no data" in shown
    rows = dict(format_throughput({"all_reduce": {"error": "no answer"}, "decoding": {"images_per_second": 1234.0}}))
    assert "no answer" in rows["all-reduce"] and "NCCL" in rows["all-reduce"] and "1,234" in rows["decoding"]


def test_forms_and_their_errors_are_shown() -> None:
    measured = {
        "first_step_seconds": 12.0,
        "step_seconds": 0.25,
        "images_per_second": 1024.0,
        "peak_memory_bytes": 3 * 2**30,
        "gradient_accumulation_steps": 2,
    }
    rows = format_forms({"forms": {"float32": measured, "tf32": {"skipped": "for GPUs only"}, "xla": {"error": "OOM"}}})
    assert rows[1] == ["float32", "12 s", "250 ms", "1,024.0", "3.0 GiB", "2", ""]
    assert (rows[2][-1], rows[3][-1]) == ("for GPUs only", "OOM")
    assert len({len(row) for row in rows}) == 1


def test_the_conclusion_shows_the_difference_and_the_flags() -> None:
    comparison = {"agrees": False, "largest_relative_difference": 0.02, "metric": "generator_loss"}
    shown = text(
        format_conclusion({"comparison": comparison, "recommendation": {"flags": ["--a", "--b=2"], "largest_part": 48}})
    )
    assert "DIFFERS" in shown and "2.0e-02" in shown and "--a --b=2" in shown and "48 images" in shown
    shown = text(format_conclusion({"comparison": {"skipped": "for GPUs only"}, "recommendation": {}}))
    assert "for GPUs only" in shown and "none" in shown
