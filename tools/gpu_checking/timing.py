"""Time training steps in each form of computation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sagan_tf.config import Config
from tools.gpu_checking.ask import Answer, ask
from tools.gpu_checking.forms import FORMS, Form, config_of_form, reason_to_skip
from tools.gpu_checking.options import GpuCheckOptions
from tools.gpu_checking.parts import next_parts

Report = Callable[[str], None]


def measure_forms(
    options: GpuCheckOptions, config: Config, has_gpu: bool, report: Report
) -> Iterator[tuple[str, Answer]]:
    """Time one form after the other; each begins with the parts of the batch that the form before needed.

    Args:
        options: What is timed.
        config: The run.
        has_gpu: Whether TensorFlow lists a GPU.
        report: Called with a line about what is being done.

    Yields:
        A form's name, and what was measured or why it was not.

    Raises:
        UserError: The batch cannot be divided among the replicas.
    """
    for name in options.forms:
        form = FORMS[name]
        if reason := reason_to_skip(form, has_gpu=has_gpu):
            yield name, {"skipped": reason}
            continue
        report(f"training steps, {name} ...")
        answer = measure_form(form, options, config, report)
        if "images_per_second" in answer:
            report(f"{name}: {answer['images_per_second']:,.1f} images/s")
            config = _with_parts(config, answer["gradient_accumulation_steps"])
        yield name, answer


def measure_form(form: Form, options: GpuCheckOptions, config: Config, report: Report) -> Answer:
    """Time training steps; cut the batch into more parts as long as the memory does not suffice.

    Raises:
        UserError: The batch cannot be divided among the replicas.
    """
    batch, group = config.training.global_batch_size, config.model.discriminator_minibatch_statistics
    while True:
        changed = config_of_form(config, form)

        def refuse(about: Mapping[str, Any], changed: Config = changed) -> str:
            return reason_to_skip(form, replicas=about["replicas"]) or _check(changed, about["replicas"])

        parts = config.training.gradient_accumulation_steps
        answer = ask("steps_worker", changed, options, f"--steps={options.steps}", refuse=refuse)
        is_too_large = answer.get("out_of_memory") and "replicas" in answer  # a full GPU fails before that
        more = next_parts(parts, batch, answer["replicas"], group) if is_too_large else None
        if more is None:
            return answer | {"gradient_accumulation_steps": parts}
        report(f"out of memory with the batch in {parts} parts; trying {more} ...")
        config = _with_parts(config, more)


def _check(config: Config, replicas: int) -> str:
    from sagan_tf.distribution.strategy import check_batch_size  # loads TensorFlow, which --help does without

    check_batch_size(config.training, replicas, config.model.discriminator_minibatch_statistics)
    return ""


def _with_parts(config: Config, parts: int) -> Config:
    return dataclasses.replace(config, training=dataclasses.replace(config.training, gradient_accumulation_steps=parts))
