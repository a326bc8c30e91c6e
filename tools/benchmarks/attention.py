"""Time and peak memory of blockwise and dense self-attention, for a forward and backward pass."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from tools.benchmarks.measure import Timing, compute_median_ratio
from tools.benchmarks.workers import Worker

SUMMARY = "self-attention in blocks of queries against its dense form"

_WORKER = "tools.benchmarks.attention_worker"
_WORKER_OPTIONS = {"dense": "--no-blockwise", "blockwise": "--blockwise"}
_MEBIBYTE = 2**20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the defaults describe the layer in the README's table."""
    add_layer_arguments(parser)
    rounds = "measurements of each form, in turns"
    parser.add_argument("--rounds", type=_parse_positive_integer, default=7, help=rounds)


def add_layer_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the layer and its inputs, which the workers have too."""
    parser.add_argument("--form", choices=("pooled", "paper", "full"), default="paper", help="form of the layer")
    for name, default, meaning in (
        ("locations", 128, "height and width of the features"),
        ("channels", 64, "channels of the features"),
        ("batch", 1, "images in a batch"),
    ):
        parser.add_argument(f"--{name}", type=_parse_positive_integer, default=default, help=meaning)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the two forms in turns, each in a process of its own.

    Args:
        options: The options of `add_arguments`.

    Returns:
        The layer's options; for `dense` and `blockwise`, the `seconds` of every round and `peak_extra_bytes`, the peak
        memory beyond that of the process before its first pass; `time_ratio`, the median of blockwise / dense over the
        rounds; `memory_ratio`; and `relative_difference`, the largest between the norms of their gradients.
    """
    layer = {name: getattr(options, name) for name in ("form", "locations", "channels", "batch")}
    arguments = [f"--{name}={value}" for name, value in layer.items()]
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(_WORKER, [*arguments, form])) for form in _WORKER_OPTIONS.values()]
        norms = [worker.wait_until_ready()["gradient_norms"] for worker in workers]
        rounds = [[worker.run() for worker in workers] for _ in range(options.rounds)]
    seconds = [[measured["seconds"] for measured in turns] for turns in zip(*rounds, strict=True)]
    peaks = [measured["peak_extra_bytes"] for measured in rounds[-1]]
    return {
        **layer,
        **{
            name: {"seconds": times, "peak_extra_bytes": peak}
            for name, times, peak in zip(_WORKER_OPTIONS, seconds, peaks, strict=True)
        },
        "time_ratio": compute_median_ratio(seconds[1], seconds[0]),
        "memory_ratio": peaks[1] / peaks[0],
        "relative_difference": max(abs(blockwise / dense - 1.0) for dense, blockwise in zip(*norms, strict=True)),
    }


def format_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a table of the result of `run`."""
    size = f"{result['batch']} x {result['locations']} x {result['locations']} x {result['channels']}"
    table = [[f"{result['form']}, {size}", "forward and backward", "peak extra memory"]]
    for name in _WORKER_OPTIONS:
        timing = Timing(tuple(result[name]["seconds"]))
        table.append([name, str(timing), f"{result[name]['peak_extra_bytes'] / _MEBIBYTE:,.0f} MiB"])
    return [*table, ["blockwise / dense", f"{result['time_ratio']:.2f}", f"{result['memory_ratio']:.3f}"]]


def _parse_positive_integer(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, received {text}")
    return number
