"""Worker that times all-reduces over the GPUs of this machine."""

from __future__ import annotations

import argparse
import time
from typing import Any

import tensorflow as tf

from sagan_tf.distribution.strategy import create_local_strategy
from tools.gpu_checking.worker import Measure, run_worker

_NUM_FLOATS = 16 * 2**20
_REPEATS = 10


def measure_all_reduce(strategy: tf.distribute.Strategy, num_floats: int = _NUM_FLOATS) -> dict[str, Any]:
    """Time the sum of a float32 vector over replicas.

    Args:
        strategy: The strategy of the replicas.
        num_floats: The length of the vector.

    Returns:
        `replicas`, `bytes`, `seconds` of one all-reduce, and `bus_bytes_per_second`: the bytes that each link carries,
        2 (n - 1) / n times the vector, per second, as NVIDIA's nccl-tests report it.
    """
    replicas = strategy.num_replicas_in_sync

    @tf.function(autograph=False)
    def reduce() -> tf.Tensor:
        def sum_over_replicas() -> tf.Tensor:
            vector = tf.ones([num_floats])
            for _ in range(_REPEATS):
                vector = tf.distribute.get_replica_context().all_reduce("SUM", vector) / replicas
            return vector[:1]

        return tf.add_n(strategy.experimental_local_results(strategy.run(sum_over_replicas)))

    reduce().numpy()  # The first call traces the function and connects the GPUs.
    start = time.perf_counter()
    reduce().numpy()
    seconds = (time.perf_counter() - start) / _REPEATS
    num_bytes = 4 * num_floats
    bus = 2 * (replicas - 1) / replicas * num_bytes / seconds
    return {"replicas": replicas, "bytes": num_bytes, "seconds": seconds, "bus_bytes_per_second": bus}


def prepare(options: argparse.Namespace) -> tuple[dict[str, Any], Measure]:
    """Return the number of replicas, and a function that times an all-reduce."""
    strategy = create_local_strategy("mirrored")
    return {"replicas": strategy.num_replicas_in_sync}, lambda: measure_all_reduce(strategy)


if __name__ == "__main__":
    run_worker(prepare)
