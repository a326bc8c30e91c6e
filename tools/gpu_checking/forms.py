"""Forms of computation in which a training step is timed: precisions and XLA."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from sagan_tf.config import Config


class Form(NamedTuple):
    """A form of computation of a training step.

    Attributes:
        options: The options of `TrainingConfig` that select the form.
        flags: The same options as flags, for the recommendation.
        needs_gpu: Whether the form is timed on GPUs only; on a CPU it equals another form, or is of no use.
        needs_one_replica: Whether the form does not support several replicas.
    """

    options: dict[str, Any]
    flags: tuple[str, ...]
    needs_gpu: bool = False
    needs_one_replica: bool = False


FORMS = {
    "float32": Form({"precision": "float32", "tf32": False}, ("--precision=float32", "--notf32")),
    "tf32": Form({"precision": "float32", "tf32": True}, ("--precision=float32",), needs_gpu=True),
    "mixed_bfloat16": Form({"precision": "mixed_bfloat16"}, ("--precision=mixed_bfloat16",)),
    "mixed_float16": Form({"precision": "mixed_float16"}, ("--precision=mixed_float16",), needs_gpu=True),
    "xla": Form(
        {"precision": "mixed_bfloat16", "jit_compile": True},
        ("--precision=mixed_bfloat16", "--jit_compile"),
        needs_one_replica=True,
    ),
}
"""Forms by name, in the order in which they are timed."""


def apply_form(config: Config, form: Form) -> Config:
    """Return the configuration with the options of a form."""
    changes = {"jit_compile": False, "tf32": True} | form.options
    return dataclasses.replace(config, training=dataclasses.replace(config.training, **changes))


def find_reason_to_skip(form: Form, *, has_gpu: bool = True, replicas: int = 1) -> str:
    """Return the reason why a form is not timed on this machine; empty if it is.

    Args:
        form: The form.
        has_gpu: Whether TensorFlow lists a GPU.
        replicas: The number of replicas of the configuration's strategy on this machine.
    """
    if form.needs_gpu and not has_gpu:
        return "for GPUs only"
    if form.needs_one_replica and replicas > 1:
        return f"for one replica only, and there are {replicas}"
    return ""
