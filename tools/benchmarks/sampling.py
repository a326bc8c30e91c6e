"""Time of making images with the generator, one at a time and several together."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from sagan_tf.errors import UserError
from tools.benchmarks.measure import Timing, median_ratio
from tools.benchmarks.workers import Worker

SUMMARY = "images from the generator by the moving statistics: latency of one, and throughput of a batch"
PEERS = ("none", "tf_gan")
FORMS = ("compiled", "keras", "saved_model", "tflite")
"""Of our generator: as `sagan_tf.sample` runs it, as a Keras model, and as its two exports."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sizes of the generator, and what to compare with."""
    parser.add_argument("--base_channels", type=int, default=64)
    parser.add_argument("--num_classes", type=int, default=1000)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--forms", nargs="+", default=["compiled"], choices=FORMS, help="of our generator")
    parser.add_argument("--peer", default="none", choices=PEERS, help="tf_gan: the generator of TF-GAN's example")
    parser.add_argument("--rounds", type=int, default=11, help="measured batches of each, in turn")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure 128 px generators; seconds are medians over the rounds, ratios medians of peer's by ours."""
    if options.rounds < 5:
        raise UserError(f"rounds: expected at least 5, received {options.rounds}")
    batches = {str(batch_size): _one_batch_size(options, batch_size) for batch_size in options.batch_sizes}
    return {"sizes": {"resolution": 128, "base_channels": options.base_channels}, "batch_sizes": batches}


def rows(result: dict[str, Any]) -> list[list[str]]:
    """Return a readable table of the result."""
    table = [["batch", "", "a batch, median (least to most)", "images/s", "ratio"]]
    for batch_size, measured in result["batch_sizes"].items():
        for name, one in measured.items():
            ratio = f"{one['ratio']:.2f}" if "ratio" in one else ""
            timing = str(Timing(tuple(one["all_seconds"])))
            table.append([batch_size, name, timing, f"{one['images_per_second']:.1f}", ratio])
    return table


def _one_batch_size(options: argparse.Namespace, batch_size: int) -> dict[str, Any]:
    sizes = [f"--base_channels={options.base_channels}", f"--num_classes={options.num_classes}"]
    sizes.append(f"--batch_size={batch_size}")
    with contextlib.ExitStack() as stack:
        workers = {
            form: Worker("tools.benchmarks.sampling_worker", [*sizes, f"--form={form}"]) for form in options.forms
        }
        if options.peer == "tf_gan":
            workers["tf_gan"] = Worker("tools.benchmarks.tf_gan_peer", ["sample", *sizes])
        for worker in workers.values():
            stack.enter_context(worker).ready()
        rounds = [{name: worker.run()["seconds"] for name, worker in workers.items()} for _ in range(options.rounds)]
    measured: dict[str, Any] = {}
    for name in workers:
        timing = Timing(tuple(one[name] for one in rounds))
        speed = batch_size / timing.median
        measured[name] = {"seconds": timing.median, "all_seconds": timing.seconds, "images_per_second": speed}
    if "tf_gan" in measured:
        peer = measured["tf_gan"]["all_seconds"]
        for form in options.forms:
            measured[form]["ratio"] = median_ratio(peer, measured[form]["all_seconds"])
    return measured
