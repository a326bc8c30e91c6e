"""Self-attention in blocks of queries against its dense form: time and peak memory of a forward and backward pass."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from tools.benchmarks.measure import Timing, median_ratio
from tools.benchmarks.workers import Worker

SUMMARY = "self-attention in blocks of queries against its dense form"

_WORKER = "tools.benchmarks.attention_worker"
_FORMS = {"dense": "--no-blockwise", "blockwise": "--blockwise"}  # options of the worker
_MEBIBYTE = 2**20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be asked for; by default the layer that the README's figures are of."""
    add_layer_arguments(parser)
    parser.add_argument("--rounds", type=_positive, default=7, help="times that each is timed, taking turns")


def add_layer_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the layer and its inputs, for this benchmark and its workers."""
    parser.add_argument("--form", choices=("pooled", "paper", "full"), default="paper", help="of the layer")
    parser.add_argument("--locations", type=_positive, default=128, help="height and width of the features")
    parser.add_argument("--channels", type=_positive, default=64, help="of the features")
    parser.add_argument("--batch", type=_positive, default=1, help="images")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Times both, each in a process of its own, in turns.

    Returns:
        The layer's options; for `dense` and `blockwise` the `seconds` of every round and `peak_extra_bytes`, the most
        memory beyond what the process had before its first pass; `time_ratio`, the median of blockwise / dense over the
        rounds, and `memory_ratio`; `relative_difference`, the largest between norms of their gradients.
    """
    layer = {name: getattr(options, name) for name in ("form", "locations", "channels", "batch")}
    arguments = [f"--{name}={value}" for name, value in layer.items()]
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(_WORKER, [*arguments, own])) for own in _FORMS.values()]
        norms = [worker.ready()["gradient_norms"] for worker in workers]
        rounds = [[worker.run() for worker in workers] for _ in range(options.rounds)]
    seconds = [[one["seconds"] for one in turns] for turns in zip(*rounds, strict=True)]
    peaks = [one["peak_extra_bytes"] for one in rounds[-1]]
    return {
        **layer,
        **{
            name: {"seconds": times, "peak_extra_bytes": peak}
            for name, times, peak in zip(_FORMS, seconds, peaks, strict=True)
        },
        "time_ratio": median_ratio(seconds[1], seconds[0]),
        "memory_ratio": peaks[1] / peaks[0],
        "relative_difference": max(abs(ours / dense - 1.0) for dense, ours in zip(*norms, strict=True)),
    }


def rows(result: dict[str, Any]) -> list[list[str]]:
    """Return a table of what `run` returns."""
    size = f"{result['batch']} x {result['locations']} x {result['locations']} x {result['channels']}"
    table = [[f"{result['form']}, {size}", "forward and backward", "peak extra memory"]]
    for name in _FORMS:
        timing = Timing(tuple(result[name]["seconds"]))
        table.append([name, str(timing), f"{result[name]['peak_extra_bytes'] / _MEBIBYTE:,.0f} MiB"])
    return [*table, ["blockwise / dense", f"{result['time_ratio']:.2f}", f"{result['memory_ratio']:.3f}"]]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, received {text}")
    return number
