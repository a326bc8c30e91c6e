"""Main function of the check's workers: it loads the CUDA libraries and returns errors as answers."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from typing import Any

from sagan_tf.environment.cuda import load_cuda_libraries
from sagan_tf.errors import UserError
from sagan_tf.text import make_single_line
from tools.benchmarks.workers import serve

_MAX_MESSAGE_LENGTH = 300

Measure = Callable[[], dict[str, Any]]
Prepare = Callable[[argparse.Namespace], tuple[dict[str, Any], Measure]]


def run_worker(prepare: Prepare) -> None:
    """Prepare a measurement, and measure when the parent process requests it.

    Args:
        prepare: Called with the options `flagfile` and `steps` of the command line; returns facts about the worker and
            the function that measures.
    """
    load_cuda_libraries()  # TensorFlow lists the GPUs once, and finds none without the CUDA libraries of pip.
    parser = argparse.ArgumentParser()
    parser.add_argument("--flagfile", required=True)
    parser.add_argument("--steps", type=int, default=0)
    options = parser.parse_args()
    measure: Measure = dict

    def start() -> dict[str, Any]:
        nonlocal measure
        about, measure = prepare(options)
        return about

    serve(_measure_or_describe_error(start), lambda: _measure_or_describe_error(measure))


def _measure_or_describe_error(measure: Measure) -> dict[str, Any]:
    """Return the measurements, or the error that `measure` raises, for a bug report."""
    try:
        return measure()
    except Exception as error:
        # This import loads TensorFlow, so it must follow `load_cuda_libraries`.
        from sagan_tf.distribution.memory_errors import convert_memory_error

        traceback.print_exc()
        sys.stderr.flush()
        name = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        return {
            "error": name + make_single_line(str(error))[:_MAX_MESSAGE_LENGTH],
            "out_of_memory": convert_memory_error(error, "training", "") is not None,
        }
