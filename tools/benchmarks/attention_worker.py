"""Worker of `tools/benchmarks/attention.py` that runs forward and backward passes of a self-attention layer."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from tools.benchmarks.attention import add_layer_arguments
from tools.benchmarks.measure import read_peak_memory_bytes
from tools.benchmarks.workers import serve

Pass = Callable[[], list[float]]


def make_pass(options: argparse.Namespace) -> Pass:
    """Create a traced function that runs a forward and backward pass.

    Args:
        options: The options of `attention.add_layer_arguments`, and `blockwise`.

    Returns:
        A function that returns the norms of the gradients with respect to the inputs and every weight.
    """
    import keras
    import tensorflow as tf

    from sagan_tf.layers import SelfAttention2D

    keras.utils.set_random_seed(1)
    shape = [options.batch, options.locations, options.locations, options.channels]
    layer = SelfAttention2D(options.form, blockwise=options.blockwise)
    layer.build(shape)
    layer.gamma.assign(0.5)  # With gamma = 0, most gradients are 0.
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


def read_resident_bytes() -> int:
    """Read the resident memory of this process, or its peak on other systems."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        return read_peak_memory_bytes()


def measure_pass(run_once: Pass, initial_bytes: int) -> dict[str, Any]:
    """Measure the seconds of one pass, and the peak memory beyond `initial_bytes`."""
    start = time.perf_counter()
    run_once()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_extra_bytes": read_peak_memory_bytes() - initial_bytes}


def main() -> None:
    """Trace the layer, run a first pass, and serve requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_layer_arguments(parser)
    parser.add_argument("--blockwise", action=argparse.BooleanOptionalAction, required=True)
    run_once = make_pass(parser.parse_args())
    initial_bytes = read_resident_bytes()
    serve({"gradient_norms": run_once()}, lambda: measure_pass(run_once, initial_bytes))


if __name__ == "__main__":
    main()
