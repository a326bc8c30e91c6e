"""Describe the environment and time all-reduces, in a process whose GPU memory is free again afterwards."""

from __future__ import annotations

import time
from typing import Any

import tensorflow as tf

from sagan_tf.distribution.devices import take_gpu_memory_as_needed
from sagan_tf.distribution.strategy import create_local_strategy
from tools.benchmarks.workers import serve
from tools.gpu_checking.environment import describe_environment

_REDUCED_FLOATS = 16 * 2**20
_REPEATS = 10


def measure_all_reduce(strategy: tf.distribute.Strategy, num_floats: int = _REDUCED_FLOATS) -> dict[str, Any]:
    """Time the sum of a float32 vector over replicas.

    Returns:
        `replicas`, `bytes`, `seconds` of one all-reduce, and `bus_bytes_per_second`: the bytes that each link carries,
        2 (n - 1) / n times the vector, by the time, as NVIDIA's nccl-tests report it.
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

    reduce().numpy()  # traces
    start = time.perf_counter()
    reduce().numpy()
    seconds = (time.perf_counter() - start) / _REPEATS
    num_bytes = 4 * num_floats
    bus = 2 * (replicas - 1) / replicas * num_bytes / seconds
    return {"replicas": replicas, "bytes": num_bytes, "seconds": seconds, "bus_bytes_per_second": bus}


def main() -> None:
    """Answer with the environment, then with the time of an all-reduce where there are several GPUs."""
    take_gpu_memory_as_needed()
    environment = describe_environment()

    def run() -> dict[str, Any]:
        strategy = create_local_strategy("auto")
        return measure_all_reduce(strategy) if strategy.num_replicas_in_sync > 1 else {}

    serve(environment, run)


if __name__ == "__main__":
    main()
