"""The speed of one large matrix product as a worker: what the processor can do at best, at that moment."""

from __future__ import annotations

import time
from typing import Any

import tensorflow as tf

from tools.benchmarks.workers import serve

SIZE = 3072
REPEATS = 5


def main() -> None:
    """Warm up and serve; each run reports the best of a few products, in floating-point operations a second."""
    left, right = (tf.random.normal([SIZE, SIZE]) for _ in range(2))

    def seconds() -> float:
        start = time.perf_counter()
        tf.linalg.matmul(left, right)
        return time.perf_counter() - start

    def run() -> dict[str, Any]:
        return {"flops_per_second": 2 * SIZE**3 / min(seconds() for _ in range(REPEATS))}

    run()
    serve({}, run)


if __name__ == "__main__":
    main()
