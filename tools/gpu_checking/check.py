"""Run every part of the check, each in a process of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from sagan_tf.cli.flags import config_to_flagfile
from sagan_tf.config import Config
from tools.gpu_checking.ask import Answer, ask
from tools.gpu_checking.forms import FORMS, config_of_form
from tools.gpu_checking.options import GpuCheckOptions
from tools.gpu_checking.recommendation import compare_steps, recommend
from tools.gpu_checking.timing import Report, measure_forms

_CLASSES = {"imagenet2012": 1000, "cifar10": 10, "fashion_mnist_10k": 10}
"""Of data sets that need not be there."""
_ASSUMED_CLASSES = 10
_COMPARED_BATCH = 8
_CPU_ONLY = {"CUDA_VISIBLE_DEVICES": "-1"}


def run_check(options: GpuCheckOptions, config: Config, report: Report) -> Iterator[tuple[str, Any]]:
    """Check this machine with a configuration.

    Args:
        options: What is checked.
        config: The run that somebody wants to train; its directory is not touched.
        report: Called with a line about what is being done.

    Yields:
        The name of a part and what was found, for JSON, as soon as it is there: `flags`, `environment`, `all_reduce`,
        `decoding`, `forms` (again after each form), `comparison`, `recommendation`.

    Raises:
        UserError: The batch cannot be divided among the replicas.
    """
    yield "flags", config_to_flagfile(config).splitlines()
    report("devices ...")
    environment = ask("environment_worker", config, options)
    yield "environment", environment
    gpus = environment.get("gpus", [])
    config = use_this_machine(config, len(gpus))
    all_reduce: Answer = {}
    if len(gpus) > 1:
        report("all-reduce ...")
        all_reduce = ask("all_reduce_worker", config, options, limit="max_all_reduce_seconds")
    yield "all_reduce", all_reduce
    report("decoding ...")
    decoding = ask("decoding_worker", config, options)
    yield "decoding", decoding
    config, forms = _with_classes(config, decoding), {}
    if "error" in all_reduce and config.training.strategy == "mirrored":
        forms = {name: {"skipped": "all-reduce failed; --strategy=one_device times one GPU"} for name in options.forms}
        yield "forms", forms
    else:
        for name, answer in measure_forms(options, config, bool(gpus), report):
            forms[name] = answer
            yield "forms", forms
    if gpus:
        report("a first step on the GPU and on the CPU ...")
    yield "comparison", _compare_with_cpu(options, config) if gpus else {"skipped": "for GPUs only"}
    memory = [gpu["memory_bytes"] for gpu in gpus if gpu["memory_bytes"]]
    batch, group = config.training.global_batch_size, config.model.discriminator_minibatch_statistics
    yield "recommendation", recommend(forms, batch, memory, group)


def use_this_machine(config: Config, num_gpus: int) -> Config:
    """Return a configuration that computes on this machine's GPUs or CPU, without other machines and without a TPU."""
    if config.training.strategy in ("one_device", "mirrored"):
        return config
    devices = num_gpus or config.training.logical_cpus
    return _with_training(config, strategy="mirrored" if devices > 1 else "one_device")


def _with_training(config: Config, **options: Any) -> Config:
    return dataclasses.replace(config, training=dataclasses.replace(config.training, **options))


def _with_classes(config: Config, decoding: Answer) -> Config:
    """Return the configuration with a number of classes, also where its data cannot be opened."""
    model = config.model
    if model.conditioning == "none" or model.num_classes:
        return config
    assumed = _CLASSES.get(config.data.dataset, _ASSUMED_CLASSES)
    classes = decoding.get("num_classes") or assumed
    return dataclasses.replace(config, model=dataclasses.replace(model, num_classes=classes))


def _compare_with_cpu(options: GpuCheckOptions, config: Config) -> Answer:
    """Compare the first step of a small batch on the GPU with the CPU's, both in float32."""
    group = config.model.discriminator_minibatch_statistics or 1
    small = _with_training(
        config_of_form(config, FORMS["float32"]),
        global_batch_size=group * max(_COMPARED_BATCH // group, 1),
        gradient_accumulation_steps=1,
        strategy="one_device",
    )
    gpu, cpu = (ask("steps_worker", small, options, environment=one) for one in (None, _CPU_ONLY))
    failed = [one for one in (gpu, cpu) if "error" in one]
    return failed[0] if failed else compare_steps(cpu["first_step_metrics"], gpu["first_step_metrics"])
