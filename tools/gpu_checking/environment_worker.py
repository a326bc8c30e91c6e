"""Worker that describes the environment, in a process of its own so that its GPU memory is released."""

from __future__ import annotations

import argparse
from typing import Any

from sagan_tf.distribution.devices import enable_gpu_memory_growth
from tools.gpu_checking.environment import describe_environment
from tools.gpu_checking.worker import Measure, run_worker


def prepare(options: argparse.Namespace) -> tuple[dict[str, Any], Measure]:
    """Return no facts about this process, and `describe_environment`."""
    enable_gpu_memory_growth()
    return {}, describe_environment


if __name__ == "__main__":
    run_worker(prepare)
