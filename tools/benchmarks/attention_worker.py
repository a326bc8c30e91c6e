"""One layer of self-attention as a worker of `tools/benchmarks/attention.py`: a forward and backward pass at a time."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from tools.benchmarks.attention import add_layer_arguments
from tools.benchmarks.measure import peak_memory_bytes
from tools.benchmarks.workers import serve

Pass = Callable[[], list[float]]


def make_pass(options: argparse.Namespace) -> Pass:
    """Return a traced function that returns the norms of the gradients with respect to the inputs and every weight."""
    import keras
    import tensorflow as tf

    from sagan_tf.layers import SelfAttention2D

    keras.utils.set_random_seed(1)
    shape = [options.batch, options.locations, options.locations, options.channels]
    layer = SelfAttention2D(options.form, blockwise=options.blockwise)
    layer.build(shape)
    layer.gamma.assign(0.5)  # at 0 most gradients are 0
    inputs = tf.random.stateless_normal(shape, [1, 2])

    @tf.function(autograph=False)
    def gradient_norms(inputs: tf.Tensor) -> tf.Tensor:
        sources = [inputs, *(variable.value for variable in layer.trainable_variables)]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            loss = tf.reduce_sum(tf.square(layer(inputs, training=True)))
        return tf.stack([tf.norm(gradient) for gradient in tape.gradient(loss, sources)])

    traced = gradient_norms.get_concrete_function(inputs)
    return lambda: traced(inputs).numpy().tolist()


def resident_bytes() -> int:
    """Memory that this process has now; where the system does not say, the most that it has had."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        return peak_memory_bytes()


def measured(run_once: Pass, level: int) -> dict[str, Any]:
    """Of one pass: seconds, and the most memory since `level`."""
    start = time.perf_counter()
    run_once()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_extra_bytes": peak_memory_bytes() - level}


def main() -> None:
    """Trace the layer, make a first pass, and serve requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_layer_arguments(parser)
    parser.add_argument("--blockwise", action=argparse.BooleanOptionalAction, required=True)
    run_once = make_pass(parser.parse_args())
    level = resident_bytes()
    serve({"gradient_norms": run_once()}, lambda: measured(run_once, level))


if __name__ == "__main__":
    main()
