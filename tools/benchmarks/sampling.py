"""Time to generate single images and batches of images."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from sagan_tf.errors import UserError
from tools.benchmarks.measure import Timing, compute_median_ratio
from tools.benchmarks.workers import Worker

SUMMARY = "images generated in inference mode: latency of one image and throughput of a batch"
PEERS = ("none", "tf_gan")
FORMS = ("compiled", "keras", "saved_model", "tflite")
"""Forms of this project's generator: as `sagan_tf.sample` runs it, as a Keras model, and as its two exports."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sizes of the generator, its forms and the peer."""
    parser.add_argument("--base_channels", type=int, default=64)
    parser.add_argument("--num_classes", type=int, default=1000)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--forms", nargs="+", default=["compiled"], choices=FORMS, help="forms of the generator")
    parser.add_argument("--peer", default="none", choices=PEERS, help="tf_gan: the generator of TF-GAN's example")
    parser.add_argument("--rounds", type=int, default=11, help="measured batches of each, in turns")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure generators of 128 px images.

    Args:
        options: The options of `add_arguments`.

    Returns:
        The sizes, and for each batch size and generator the measurements. `seconds` is the median over the rounds, and
        `ratio` the median of the peer's seconds / this project's.

    Raises:
        UserError: There are too few rounds.
    """
    if options.rounds < 5:
        raise UserError(f"rounds: expected at least 5, received {options.rounds}")
    batches = {str(batch_size): _measure_batch_size(options, batch_size) for batch_size in options.batch_sizes}
    return {"sizes": {"resolution": 128, "base_channels": options.base_channels}, "batch_sizes": batches}


def format_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a table of the result of `run`."""
    table = [["batch", "", "a batch, median (least to most)", "images/s", "ratio"]]
    for batch_size, measured in result["batch_sizes"].items():
        for name, figures in measured.items():
            ratio = f"{figures['ratio']:.2f}" if "ratio" in figures else ""
            timing = str(Timing(tuple(figures["all_seconds"])))
            table.append([batch_size, name, timing, f"{figures['images_per_second']:.1f}", ratio])
    return table


def _measure_batch_size(options: argparse.Namespace, batch_size: int) -> dict[str, Any]:
    sizes = [f"--base_channels={options.base_channels}", f"--num_classes={options.num_classes}"]
    sizes.append(f"--batch_size={batch_size}")
    with contextlib.ExitStack() as stack:
        workers = {
            form: Worker("tools.benchmarks.sampling_worker", [*sizes, f"--form={form}"]) for form in options.forms
        }
        if options.peer == "tf_gan":
            workers["tf_gan"] = Worker("tools.benchmarks.tf_gan_peer", ["sample", *sizes])
        for worker in workers.values():
            stack.enter_context(worker).wait_until_ready()
        rounds = [{name: worker.run()["seconds"] for name, worker in workers.items()} for _ in range(options.rounds)]
    measured: dict[str, Any] = {}
    for name in workers:
        timing = Timing(tuple(seconds[name] for seconds in rounds))
        speed = batch_size / timing.median
        measured[name] = {"seconds": timing.median, "all_seconds": timing.seconds, "images_per_second": speed}
    if "tf_gan" in measured:
        peer = measured["tf_gan"]["all_seconds"]
        for form in options.forms:
            measured[form]["ratio"] = compute_median_ratio(peer, measured[form]["all_seconds"])
    return measured
