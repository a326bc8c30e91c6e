"""The frame of the check's workers: they find the GPUs that pip's CUDA libraries serve, and an error is an answer."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from typing import Any

from sagan_tf.environment.cuda import load_cuda_libraries
from sagan_tf.errors import UserError
from sagan_tf.text import one_line
from tools.benchmarks.workers import serve

_MAX_LENGTH = 300

Measure = Callable[[], dict[str, Any]]
Prepare = Callable[[argparse.Namespace], tuple[dict[str, Any], Measure]]


def run_worker(prepare: Prepare) -> None:
    """Prepare a measurement, and measure when the process that started this one asks for it.

    Args:
        prepare: Called with `flagfile` and `steps` of the command line; returns what the worker says of itself, and the
            function that measures.
    """
    load_cuda_libraries()  # before TensorFlow lists GPUs, which it does once: without these it would find none
    parser = argparse.ArgumentParser()
    parser.add_argument("--flagfile", required=True)
    parser.add_argument("--steps", type=int, default=0)
    options = parser.parse_args()
    measure: Measure = dict

    def start() -> dict[str, Any]:
        nonlocal measure
        about, measure = prepare(options)
        return about

    serve(_answer(start), lambda: _answer(measure))


def _answer(measure: Measure) -> dict[str, Any]:
    """Return what `measure` returns, or the error that it raises: a bug report is about errors."""
    try:
        return measure()
    except Exception as error:
        from sagan_tf.distribution.memory_errors import memory_error  # after the CUDA libraries: it loads TensorFlow

        traceback.print_exc()
        sys.stderr.flush()
        name = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        return {
            "error": name + one_line(str(error))[:_MAX_LENGTH],
            "out_of_memory": memory_error(error, "training", "") is not None,
        }
