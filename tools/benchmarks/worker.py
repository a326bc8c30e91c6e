"""Program that measures in a process of its own; `worker_process.Worker` starts it.

    python -m tools.benchmarks.worker '{"measurement": "matrix_product", "parameters": {}}'

It prepares a measurement and prints facts about it as one line of JSON. For each line `run` of its standard input, it
measures once and prints the result as one line of JSON. After an error it prints a line with the error, and ends.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

from sagan_tf.environment.cuda import load_cuda_libraries
from sagan_tf.errors import UserError
from sagan_tf.text import make_single_line
from tools.benchmarks.measure import Measurement
from tools.benchmarks.worker_process import RUN

Prepare = Callable[..., Measurement]

MEASUREMENTS = {
    "attention": "tools.benchmarks.attention:prepare_attention",
    "evaluation": "tools.benchmarks.evaluation:prepare_evaluation",
    "statistics": "tools.benchmarks.evaluation:prepare_statistics",
    "image_files": "tools.benchmarks.image_files:prepare_image_files",
    "pipeline": "tools.benchmarks.pipelines:prepare_pipeline",
    "sampling": "tools.benchmarks.sampling:prepare_sampling",
    "train_step": "tools.benchmarks.train_step_measurements:prepare_train_step",
    "matrix_product": "tools.benchmarks.train_step_measurements:prepare_matrix_product",
    "tf_gan_train_step": "tools.benchmarks.tf_gan_peer:prepare_train_step",
    "tf_gan_sampling": "tools.benchmarks.tf_gan_peer:prepare_sampling",
    "gpu_environment": "tools.gpu_checking.measurements:prepare_environment",
    "gpu_all_reduce": "tools.gpu_checking.measurements:prepare_all_reduce",
    "gpu_decoding": "tools.gpu_checking.measurements:prepare_decoding",
    "gpu_steps": "tools.gpu_checking.measurements:prepare_steps",
}
"""Modules and functions that prepare measurements.

Only the module of the requested measurement is imported, because the container image does not have all of them. The
functions import TensorFlow themselves: TF-GAN needs it with Keras 2.
"""

_MAX_MESSAGE_LENGTH = 300


def import_measurement(name: str) -> Prepare:
    """Import the function that prepares a measurement.

    Args:
        name: A key of `MEASUREMENTS`.
    """
    module, _, function = MEASUREMENTS[name].partition(":")
    return getattr(importlib.import_module(module), function)


def main(import_function: Callable[[str], Prepare] = import_measurement) -> None:
    """Serve the measurement that the command line requests.

    Args:
        import_function: Function that returns the function that prepares a measurement, from its name.
    """
    request = json.loads(sys.argv[1])
    load_cuda_libraries()  # TensorFlow lists the GPUs once, and finds none without the CUDA libraries of pip.
    try:
        measurement = import_function(request["measurement"])(**request["parameters"])
        _print_answer(measurement.about)
        for line in sys.stdin:
            if line.strip() == RUN:
                _print_answer(measurement.run())
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        _print_answer(_describe_error(error))


def _print_answer(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _describe_error(error: Exception) -> dict[str, Any]:
    # This import loads TensorFlow, so it must follow `load_cuda_libraries`.
    from sagan_tf.distribution.memory_errors import convert_memory_error

    name = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return {
        "error": name + make_single_line(str(error))[:_MAX_MESSAGE_LENGTH],
        "out_of_memory": convert_memory_error(error, "training", "") is not None,
    }


if __name__ == "__main__":
    main()
