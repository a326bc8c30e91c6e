"""Time and peak memory of blockwise and dense self-attention, for a forward and backward pass."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from typing import Any

from sagan_tf.config.option import check_positive, option
from sagan_tf.config.option_names import ATTENTION_FORMS
from tools.benchmarks.measure import (
    Measurement,
    Timing,
    compute_median_ratio,
    read_peak_memory_bytes,
    read_resident_memory_bytes,
)
from tools.benchmarks.worker_process import Worker

_IS_BLOCKWISE = {"dense": False, "blockwise": True}
_MEBIBYTE = 2**20


@dataclasses.dataclass(frozen=True)
class AttentionOptions:
    """Options of the layer and its inputs; the defaults are those of docs/performance.md."""

    form: str = option("paper", "Form of the layer.", choices=tuple(ATTENTION_FORMS))
    locations: int = option(128, "Height and width of the features.")
    channels: int = option(64, "Channels of the features.")
    batch: int = option(1, "Images in a batch.")
    rounds: int = option(7, "Measurements of each form, in turns.")

    def __post_init__(self) -> None:
        check_positive(self, "locations", "channels", "batch", "rounds")


OPTIONS = (AttentionOptions,)


def run(options: AttentionOptions) -> dict[str, Any]:
    """Measure the two forms in turns, each in a process of its own.

    Args:
        options: The options of the benchmark.

    Returns:
        The layer's options; for `dense` and `blockwise`, the `seconds` of every round and `peak_extra_bytes`, the peak
        memory beyond that of the process before its first pass; `time_ratio`, the median of blockwise / dense over the
        rounds; `memory_ratio`; and `relative_difference`, the largest between the norms of their gradients.
    """
    layer = {name: value for name, value in dataclasses.asdict(options).items() if name != "rounds"}
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(Worker("attention", layer | {"blockwise": blockwise}))
            for blockwise in _IS_BLOCKWISE.values()
        ]
        norms = [worker.wait_until_ready()["gradient_norms"] for worker in workers]
        rounds = [[worker.run() for worker in workers] for _ in range(options.rounds)]
    seconds = [[measured["seconds"] for measured in turns] for turns in zip(*rounds, strict=True)]
    peaks = [measured["peak_extra_bytes"] for measured in rounds[-1]]
    return {
        **layer,
        **{
            name: {"seconds": times, "peak_extra_bytes": peak}
            for name, times, peak in zip(_IS_BLOCKWISE, seconds, peaks, strict=True)
        },
        "time_ratio": compute_median_ratio(seconds[1], seconds[0]),
        "memory_ratio": peaks[1] / peaks[0],
        "relative_difference": max(abs(blockwise / dense - 1.0) for dense, blockwise in zip(*norms, strict=True)),
    }


def format_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a table of the result of `run`."""
    size = f"{result['batch']} x {result['locations']} x {result['locations']} x {result['channels']}"
    table = [[f"{result['form']}, {size}", "forward and backward", "peak extra memory"]]
    for name in _IS_BLOCKWISE:
        timing = Timing(tuple(result[name]["seconds"]))
        table.append([name, str(timing), f"{result[name]['peak_extra_bytes'] / _MEBIBYTE:,.0f} MiB"])
    return [*table, ["blockwise / dense", f"{result['time_ratio']:.2f}", f"{result['memory_ratio']:.3f}"]]


def prepare_attention(*, form: str, locations: int, channels: int, batch: int, blockwise: bool) -> Measurement:
    """Trace a forward and backward pass, and run it once.

    Returns:
        The measurement of the seconds of one pass and of the peak memory. `gradient_norms` are those with respect to
        the inputs and every weight.
    """
    import keras
    import tensorflow as tf

    from sagan_tf.layers import SelfAttention2D

    keras.utils.set_random_seed(1)
    shape = [batch, locations, locations, channels]
    layer = SelfAttention2D(form, blockwise=blockwise)
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
    initial_bytes = read_resident_memory_bytes()

    def measure() -> dict[str, Any]:
        start = time.perf_counter()
        traced(inputs).numpy()
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "peak_extra_bytes": read_peak_memory_bytes() - initial_bytes}

    return Measurement(measure, {"gradient_norms": traced(inputs).numpy().tolist()})
