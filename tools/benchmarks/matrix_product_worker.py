"""Worker that times a large matrix product, the best speed that the processor reaches at that moment."""

from __future__ import annotations

import time
from typing import Any

import tensorflow as tf

from tools.benchmarks.workers import serve

SIZE = 3072
REPEATS = 5


def main() -> None:
    """Warm up, and serve requests.

    Each request returns the fastest of `REPEATS` products, in floating-point operations a second.
    """
    left, right = (tf.random.normal([SIZE, SIZE]) for _ in range(2))

    def measure_seconds() -> float:
        start = time.perf_counter()
        tf.linalg.matmul(left, right)
        return time.perf_counter() - start

    def run() -> dict[str, Any]:
        return {"flops_per_second": 2 * SIZE**3 / min(measure_seconds() for _ in range(REPEATS))}

    run()
    serve({}, run)


if __name__ == "__main__":
    main()
