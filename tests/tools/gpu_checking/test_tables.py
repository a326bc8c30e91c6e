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


def test_figures_of_gpus_and_errors_of_parts_are_shown() -> None:
    measured = {
        "first_step_seconds": 12.0,
        "step_seconds": 0.25,
        "images_per_second": 1024.0,
        "peak_memory_bytes": 3 * 2**30,
        "gradient_accumulation_steps": 2,
    }
    found = {
        "environment": ENVIRONMENT,
        "all_reduce": {"bus_bytes_per_second": 2e11, "bytes": 2**26, "replicas": 8},
        "decoding": {"error": "no data"},
        "forms": {"float32": measured, "tf32": {"skipped": "for GPUs only"}, "xla": {"error": "out of memory"}},
        "comparison": {"agrees": False, "largest_relative_difference": 0.02, "metric": "generator_loss"},
        "recommendation": {"flags": ["--a", "--b=2"], "largest_part": 48},
    }
    tables = [table(found) for table in (format_environment, format_throughput, format_forms, format_conclusion)]
    shown = "\n".join("  ".join(row) for table in tables for row in table)
    parts = ["NVIDIA A100", "40960", "too old", "200.0 GB/s", "no data", "1,024.0", "out of memory", "--a --b=2"]
    for part in [*parts, "DIFFERS", "2.0e-02", "48 images"]:
        assert part in shown
    assert "2048" not in shown and "TPU" not in shown  # TensorFlow does not use this GPU.


def test_missing_measurements_are_shown() -> None:
    environment = ENVIRONMENT | {"gpus": [], "has_tpu": True}
    assert "TPU" in dict(format_environment({"environment": environment}))
    assert format_environment({"environment": {"error": "it crashed"}})[0][1] == "it crashed"
    failed = {"all_reduce": {"error": "no answer"}, "decoding": {"images_per_second": 1234.0}}
    assert "no answer" in dict(format_throughput(failed))["all-reduce"]
    shown = format_conclusion({"comparison": {"skipped": "for GPUs only"}, "recommendation": {}})
    assert any("for GPUs only" in cell for row in shown for cell in row)
