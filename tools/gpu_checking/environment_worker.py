"""Describe the environment in a process whose GPU memory is free again afterwards."""

from __future__ import annotations

import argparse
from typing import Any

from sagan_tf.distribution.devices import take_gpu_memory_as_needed
from tools.gpu_checking.environment import describe_environment
from tools.gpu_checking.worker import Measure, run_worker


def prepare(options: argparse.Namespace) -> tuple[dict[str, Any], Measure]:
    """Return nothing about this process, and the function that describes the environment."""
    take_gpu_memory_as_needed()
    return {}, describe_environment


if __name__ == "__main__":
    run_worker(prepare)
