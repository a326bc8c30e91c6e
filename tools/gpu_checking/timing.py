"""Timing of training steps in each form of computation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sagan_tf.config import Config
from tools.gpu_checking.ask import Answer, ask_worker
from tools.gpu_checking.forms import FORMS, Form, apply_form, find_reason_to_skip
from tools.gpu_checking.options import GpuCheckOptions
from tools.gpu_checking.parts import find_next_parts

Report = Callable[[str], None]


def measure_forms(
    options: GpuCheckOptions, config: Config, has_gpu: bool, report: Report
) -> Iterator[tuple[str, Answer]]:
    """Time the training steps of all forms.

    Each form begins with the number of parts of the batch that the previous form needed.

    Args:
        options: The options of the check.
        config: The configuration.
        has_gpu: Whether TensorFlow lists a GPU.
        report: Called with a line of text about the progress.

    Yields:
        The name of a form, and its measurements, the reason why it was skipped, or its error.

    Raises:
        UserError: The batch cannot be divided among the replicas.
    """
    for name in options.forms:
        form = FORMS[name]
        if reason := find_reason_to_skip(form, has_gpu=has_gpu):
            yield name, {"skipped": reason}
            continue
        report(f"training steps, {name} ...")
        answer = measure_form(form, options, config, report)
        if "images_per_second" in answer:
            report(f"{name}: {answer['images_per_second']:,.1f} images/s")
            config = _replace_accumulation_steps(config, answer["gradient_accumulation_steps"])
        yield name, answer


def measure_form(form: Form, options: GpuCheckOptions, config: Config, report: Report) -> Answer:
    """Time the training steps of one form.

    The batch is divided into more parts as long as the memory is too small.

    Args:
        form: The form.
        options: The options of the check.
        config: The configuration.
        report: Called with a line of text about the progress.

    Returns:
        The measurements of `measurements.prepare_steps` and `gradient_accumulation_steps`, the number of parts; or the
        reason why the form was skipped, or its error.

    Raises:
        UserError: The batch cannot be divided among the replicas.
    """
    batch, group = config.training.global_batch_size, config.model.discriminator_minibatch_statistics
    while True:
        changed = apply_form(config, form)

        def find_reason(about: Mapping[str, Any], changed: Config = changed) -> str:
            return find_reason_to_skip(form, replicas=about["replicas"]) or _check_batch_size(
                changed, about["replicas"]
            )

        parts = config.training.gradient_accumulation_steps
        parameters = {"flags": list_flags(changed), "steps": options.steps}
        answer = ask_worker("gpu_steps", parameters, options, find_reason=find_reason)
        # A GPU whose memory is full already fails before the worker reports its replicas.
        is_too_large = answer.get("out_of_memory") and "replicas" in answer
        more = find_next_parts(parts, batch, answer["replicas"], group) if is_too_large else None
        if more is None:
            return answer | {"gradient_accumulation_steps": parts}
        report(f"out of memory with the batch in {parts} parts; trying {more} ...")
        config = _replace_accumulation_steps(config, more)


def list_flags(config: Config) -> list[str]:
    """Return every flag of a configuration, for a worker."""
    return [line for line in config.to_flagfile().splitlines() if line.startswith("--")]


def _check_batch_size(config: Config, replicas: int) -> str:
    from sagan_tf.distribution.strategy import check_batch_size  # Loads TensorFlow, which `--help` does not need.

    check_batch_size(config.training, replicas, config.model.discriminator_minibatch_statistics)
    return ""


def _replace_accumulation_steps(config: Config, parts: int) -> Config:
    return dataclasses.replace(config, training=dataclasses.replace(config.training, gradient_accumulation_steps=parts))
