"""Run every part of the check, each in a process of its own, and collect what they answer."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sagan_tf.config import Config
from sagan_tf.flags import config_to_flagfile
from tools.benchmarks.workers import Worker, WorkerError
from tools.gpu_checking.forms import FORMS, config_of_form, reason_to_skip
from tools.gpu_checking.options import GpuCheckOptions
from tools.gpu_checking.recommendation import compare_steps, recommend

_CLASSES = {"imagenet2012": 1000, "cifar10": 10, "fashion_mnist_10k": 10}
"""Of data sets that need not be there."""
_ASSUMED_CLASSES = 10
_COMPARED_BATCH = 8
_CPU_ONLY = {"CUDA_VISIBLE_DEVICES": "-1"}

Report = Callable[[str], None]


def run_check(options: GpuCheckOptions, config: Config, report: Report) -> dict[str, Any]:
    """Check this machine with a configuration.

    Args:
        options: What is checked.
        config: The run that somebody wants to train; its directory is not touched.
        report: Called with a line about what is being done.

    Returns:
        Everything that was found, for JSON.
    """
    report("devices and all-reduce ...")
    found = _ask_environment()
    num_gpus = len(found["environment"].get("gpus", []))
    with tempfile.TemporaryDirectory(prefix="sagan_tf_gpu_check_") as directory:
        folder = Path(directory)
        report("decoding ...")
        found["decoding"] = _ask("decoding_worker", _write(config, folder))
        config = _with_classes(config, found["decoding"])
        found["forms"] = {}
        for name in options.forms:
            reason = reason_to_skip(FORMS[name], num_gpus=num_gpus)
            if reason:
                found["forms"][name] = {"skipped": reason}
                continue
            report(f"training steps, {name} ...")
            found["forms"][name] = measure_form(config_of_form(config, FORMS[name]), options.steps, folder)
        report("one step on the CPU ...")
        found["comparison"] = _compare_with_cpu(config, folder, num_gpus)
    replica_batch_size = config.training.global_batch_size // max(num_gpus, 1)
    recommendation = recommend(found["forms"], replica_batch_size, _gpu_memory(found["environment"]))
    return found | {"recommendation": recommendation, "flags": config_to_flagfile(config).splitlines()}


def measure_form(config: Config, steps: int, folder: Path) -> dict[str, Any]:
    """Time training steps; cut the batch into twice as many parts as long as the memory does not suffice."""
    parts, batch = config.training.gradient_accumulation_steps, config.training.global_batch_size
    while True:
        changed = dataclasses.replace(config.training, gradient_accumulation_steps=parts)
        flagfile = _write(dataclasses.replace(config, training=changed), folder)
        answer = _ask("steps_worker", flagfile, f"--steps={steps}") | {"gradient_accumulation_steps": parts}
        parts *= 2
        if not answer.get("out_of_memory") or batch % parts:
            return answer


def _gpu_memory(environment: dict[str, Any]) -> int | None:
    """Return the smallest memory of a GPU in bytes, as `nvidia-smi` reports it in MiB; None if it does not."""
    sizes = [gpu.get("memory.total", "") for gpu in environment.get("nvidia_smi", [])]
    return min((int(size) * 2**20 for size in sizes if size.isdigit()), default=None)


def _ask_environment() -> dict[str, Any]:
    try:
        with Worker("tools.gpu_checking.environment_worker") as worker:
            environment = worker.ready()
            return {"environment": environment, "all_reduce": worker.run()}
    except WorkerError as error:
        return {"environment": {"error": str(error)}, "all_reduce": {}}


def _ask(module: str, flagfile: Path, *arguments: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Return what a worker answers; a worker that crashed is an answer too."""
    try:
        with Worker(f"tools.gpu_checking.{module}", [f"--flagfile={flagfile}", *arguments], environment) as worker:
            return worker.ready()
    except WorkerError as error:
        return {"error": str(error)}


def _write(config: Config, folder: Path) -> Path:
    path = folder / "flags.cfg"
    path.write_text(config_to_flagfile(config), encoding="utf-8")
    return path


def _with_classes(config: Config, decoding: dict[str, Any]) -> Config:
    """Return the configuration with a number of classes, also where its data cannot be opened."""
    model = config.model
    if model.conditioning == "none" or model.num_classes:
        return config
    assumed = _CLASSES.get(config.data.dataset, _ASSUMED_CLASSES)
    classes = decoding.get("num_classes") or assumed
    return dataclasses.replace(config, model=dataclasses.replace(model, num_classes=classes))


def _compare_with_cpu(config: Config, folder: Path, num_gpus: int) -> dict[str, Any]:
    """Compare the first step of a small batch on the GPU with the CPU's, both in float32."""
    if not num_gpus:
        return {"skipped": "for GPUs only"}
    small = dataclasses.replace(
        config_of_form(config, FORMS["float32"]).training,
        global_batch_size=_COMPARED_BATCH,
        gradient_accumulation_steps=1,
        strategy="one_device",
    )
    flagfile = _write(dataclasses.replace(config, training=small), folder)
    gpu, cpu = (_ask("steps_worker", flagfile, "--steps=0", environment=one) for one in (None, _CPU_ONLY))
    failed = [one for one in (gpu, cpu) if "error" in one]
    return failed[0] if failed else compare_steps(cpu["first_step_metrics"], gpu["first_step_metrics"])
