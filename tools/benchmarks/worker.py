"""Program that measures in a process of its own; `worker_process.Worker` starts it.

    python -m tools.benchmarks.worker '{"measurement": "matrix_product", "parameters": {}}'

It prepares a measurement and prints facts about it as one line of JSON. For each line `run` of its standard input, it
measures once and prints the result as one line of JSON. After an error it prints a line with the error, and ends.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from sagan_tf.environment.cuda import load_cuda_libraries
from sagan_tf.errors import UserError
from sagan_tf.text import make_single_line
from tools.benchmarks import (
    attention,
    evaluation,
    image_files,
    pipelines,
    sampling,
    tf_gan_peer,
    train_step_measurements,
)
from tools.benchmarks.measure import Measurement
from tools.benchmarks.worker_process import RUN
from tools.gpu_checking import measurements as gpu_checking

Prepare = Callable[..., Measurement]

MEASUREMENTS: dict[str, Prepare] = {
    "attention": attention.prepare_attention,
    "evaluation": evaluation.prepare_evaluation,
    "statistics": evaluation.prepare_statistics,
    "image_files": image_files.prepare_image_files,
    "pipeline": pipelines.prepare_pipeline,
    "sampling": sampling.prepare_sampling,
    "train_step": train_step_measurements.prepare_train_step,
    "matrix_product": train_step_measurements.prepare_matrix_product,
    "tf_gan_train_step": tf_gan_peer.prepare_train_step,
    "tf_gan_sampling": tf_gan_peer.prepare_sampling,
    "gpu_environment": gpu_checking.prepare_environment,
    "gpu_all_reduce": gpu_checking.prepare_all_reduce,
    "gpu_decoding": gpu_checking.prepare_decoding,
    "gpu_steps": gpu_checking.prepare_steps,
}
"""Functions that prepare measurements. They import TensorFlow themselves: TF-GAN needs it with Keras 2."""

_MAX_MESSAGE_LENGTH = 300


def main(measurements: Mapping[str, Prepare] = MEASUREMENTS) -> None:
    """Serve the measurement that the command line requests.

    Args:
        measurements: The functions that prepare measurements, by name.
    """
    request = json.loads(sys.argv[1])
    load_cuda_libraries()  # TensorFlow lists the GPUs once, and finds none without the CUDA libraries of pip.
    try:
        measurement = measurements[request["measurement"]](**request["parameters"])
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
