"""The parts of the check, each run in a process of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from sagan_tf.config import Config
from tools.data_sets import NUM_CLASSES
from tools.gpu_checking.ask import Answer, ask_worker
from tools.gpu_checking.forms import FORMS, apply_form
from tools.gpu_checking.options import GpuCheckOptions
from tools.gpu_checking.recommendation import compare_steps, recommend
from tools.gpu_checking.timing import Report, list_flags, measure_forms

_DEFAULT_NUM_CLASSES = 10
_COMPARED_BATCH_SIZE = 8
_CPU_ONLY = {"CUDA_VISIBLE_DEVICES": "-1"}


def run_check(options: GpuCheckOptions, config: Config, report: Report) -> Iterator[tuple[str, Any]]:
    """Check this machine with a configuration.

    Args:
        options: The options of the check.
        config: The configuration of a run; nothing is written to its directory.
        report: Called with a line of text about the progress.

    Yields:
        The name and the result (for JSON) of each part: `flags`, `environment`, `all_reduce`, `decoding`, `forms`
        (again after each form), `comparison`, `recommendation`.

    Raises:
        UserError: The batch cannot be divided among the replicas.
    """
    yield "flags", config.to_flagfile().splitlines()
    report("devices ...")
    environment = ask_worker("gpu_environment", {}, options)
    yield "environment", environment
    gpus = environment.get("gpus", [])
    config = restrict_to_local_devices(config, len(gpus))
    all_reduce: Answer = {}
    if len(gpus) > 1:
        report("all-reduce ...")
        all_reduce = ask_worker("gpu_all_reduce", {}, options, limit="max_all_reduce_seconds")
    yield "all_reduce", all_reduce
    report("decoding ...")
    decoding = ask_worker("gpu_decoding", {"flags": list_flags(config)}, options)
    yield "decoding", decoding
    config, forms = _set_num_classes(config, decoding), {}
    all_reduce_failed = "error" in all_reduce and config.training.strategy == "mirrored"
    for name, answer in (
        _skip_forms(options) if all_reduce_failed else measure_forms(options, config, bool(gpus), report)
    ):
        forms[name] = answer
        yield "forms", forms
    yield "comparison", _compare_with_cpu(options, config, report) if gpus else {"skipped": "for GPUs only"}
    memory = [gpu["memory_bytes"] for gpu in gpus if gpu["memory_bytes"]]
    batch, group = config.training.global_batch_size, config.model.discriminator_minibatch_statistics
    yield "recommendation", recommend(forms, batch, memory, group)


def _skip_forms(options: GpuCheckOptions) -> Iterator[tuple[str, Answer]]:
    reason = "all-reduce failed; use --strategy=one_device to time one GPU"
    return ((name, {"skipped": reason}) for name in options.forms)


def restrict_to_local_devices(config: Config, num_gpus: int) -> Config:
    """Replace a strategy for several machines or TPUs by one for this machine.

    Args:
        config: The configuration.
        num_gpus: The number of GPUs of this machine.

    Returns:
        A configuration that computes on this machine's GPUs or CPU.
    """
    if config.training.strategy in ("one_device", "mirrored"):
        return config
    devices = num_gpus or config.training.logical_cpus
    return _replace_training(config, strategy="mirrored" if devices > 1 else "one_device")


def _replace_training(config: Config, **options: Any) -> Config:
    return dataclasses.replace(config, training=dataclasses.replace(config.training, **options))


def _set_num_classes(config: Config, decoding: Answer) -> Config:
    """Set the number of classes, also if the data cannot be opened."""
    model = config.model
    if not model.uses_classes or model.num_classes:
        return config
    assumed = NUM_CLASSES.get(config.data.dataset, _DEFAULT_NUM_CLASSES)
    classes = decoding.get("num_classes") or assumed
    return dataclasses.replace(config, model=dataclasses.replace(model, num_classes=classes))


def _compare_with_cpu(options: GpuCheckOptions, config: Config, report: Report) -> Answer:
    """Compare the first step of a small batch on GPU and CPU, both in float32."""
    report("a first step on the GPU and on the CPU ...")
    group = config.model.discriminator_minibatch_statistics or 1
    small = _replace_training(
        apply_form(config, FORMS["float32"]),
        global_batch_size=group * max(_COMPARED_BATCH_SIZE // group, 1),
        gradient_accumulation_steps=1,
        strategy="one_device",
    )
    flags = {"flags": list_flags(small)}
    gpu, cpu = (ask_worker("gpu_steps", flags, options, environment=variables) for variables in (None, _CPU_ONLY))
    failed = [answer for answer in (gpu, cpu) if "error" in answer]
    return failed[0] if failed else compare_steps(cpu["first_step_metrics"], gpu["first_step_metrics"])
