"""Time and memory of a training step, which updates the discriminator once and the generator once."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from sagan_tf.errors import UserError
from tools.benchmarks.measure import Timing, compute_median_ratio
from tools.benchmarks.workers import Worker

SUMMARY = "a whole training step: time, images/s, peak memory, arithmetic and its share of a matrix product's speed"
PEERS = ("none", "tf_gan", "plain", "default")
_OURS, _PEER, _PRODUCT = "ours", "peer", "matrix_product"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sizes of the networks, the form of computation and the peer."""
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--image_channels", type=int, default=3)
    parser.add_argument("--base_channels", type=int, default=64)
    parser.add_argument("--num_classes", type=int, default=1000)
    parser.add_argument("--attention_resolution", type=int, default=32, help="0 for none")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--precision", default="float32", choices=("float32", "mixed_bfloat16", "mixed_float16"))
    parser.add_argument("--jit_compile", action="store_true", help="compile the updates with XLA")
    parser.add_argument(
        "--peer",
        default="none",
        choices=PEERS,
        help="tf_gan: TF-GAN's example; plain: this project with resampling=plain; default: this project in float32 "
        "without XLA",
    )
    parser.add_argument("--rounds", type=int, default=7, help="measured steps of each, in turns")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure training steps.

    Args:
        options: The options of `add_arguments`.

    Returns:
        The sizes and the measurements. `seconds` is the median over the rounds, and `ratio` the median of the peer's
        seconds / this project's, round by round.

    Raises:
        UserError: There are too few rounds, or the peer does not support the size.
    """
    if options.rounds < 5:
        raise UserError(f"rounds: expected at least 5, received {options.rounds}")
    if options.peer == "tf_gan" and (options.resolution, options.image_channels) != (128, 3):
        received = f"{options.resolution} px and {options.image_channels} channels"
        raise UserError(
            f"peer: expected 128 px and 3 channels, the only size that tf_gan supports, received {received}"
        )
    with contextlib.ExitStack() as stack:
        workers = {_OURS: _start_project_worker(options, options.precision, options.jit_compile, "auto")}
        if options.peer != "none":
            workers[_PEER] = _start_peer_worker(options)
        workers[_PRODUCT] = Worker("tools.benchmarks.matrix_product_worker")
        # Workers warm up one after the other: the load of another one would slow down `seconds_to_first_step`.
        about = {name: stack.enter_context(worker).wait_until_ready() for name, worker in workers.items()}
        rounds = [{name: worker.run() for name, worker in workers.items()} for _ in range(options.rounds)]
    return _summarize(options, about, rounds)


def format_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a table of the result of `run`."""
    table = [["", "step, median (least to most)", "images/s", "peak memory"]]
    for name in (_OURS, _PEER):
        if name in result:
            figures = result[name]
            timing = str(Timing(tuple(figures["all_seconds"])))
            memory = f"{figures['peak_memory_bytes'] / 1e9:.2f} GB"
            label = name if name == _OURS else result["sizes"]["peer"]
            table.append([label, timing, f"{figures['images_per_second']:.2f}", memory])
    if "ratio" in result:
        table.append(["ratio", f"{result['ratio']:.2f} times as fast", "", ""])
    share = f"{result['share_of_matrix_product']:.0%} of a matrix product's {result['matrix_product_flops'] / 1e9:.0f}"
    flops, with_transforms = (result[f"flops_per_image{end}"] / 1e9 for end in ("", "_with_transforms"))
    arithmetic = f"{flops:.1f} GFLOP an image ({with_transforms:.1f} with transforms)"
    table.append(["arithmetic", arithmetic, f"{share} GFLOP/s", ""])
    return table


def _start_project_worker(options: argparse.Namespace, precision: str, jit_compile: bool, resampling: str) -> Worker:
    names = ("resolution", "image_channels", "base_channels", "num_classes", "attention_resolution", "batch_size")
    arguments = [f"--{name}={getattr(options, name)}" for name in names]
    arguments += [f"--precision={precision}", f"--resampling={resampling}"]
    return Worker("tools.benchmarks.train_step_worker", arguments + ["--jit_compile"] * jit_compile)


def _start_peer_worker(options: argparse.Namespace) -> Worker:
    if options.peer == "plain":
        return _start_project_worker(options, options.precision, options.jit_compile, "plain")
    if options.peer == "default":
        return _start_project_worker(options, "float32", False, "auto")
    arguments = [f"--{name}={getattr(options, name)}" for name in ("batch_size", "base_channels", "num_classes")]
    return Worker("tools.benchmarks.tf_gan_peer", ["train", *arguments])


def _summarize(
    options: argparse.Namespace, about: dict[str, dict[str, Any]], rounds: list[dict[str, dict[str, Any]]]
) -> dict[str, Any]:
    result: dict[str, Any] = {"sizes": {name: value for name, value in vars(options).items() if name != "json"}}
    for name in (_OURS, _PEER):
        if name in about:
            result[name] = _summarize_steps([measured[name] for measured in rounds], options.batch_size)
    result[_OURS]["seconds_to_first_step"] = about[_OURS]["seconds_to_first_step"]
    if _PEER in result:
        result["ratio"] = compute_median_ratio(result[_PEER]["all_seconds"], result[_OURS]["all_seconds"])
    speeds = [measured[_PRODUCT]["flops_per_second"] for measured in rounds]
    flops = about[_OURS]["flops_per_image"]
    reached = [flops * options.batch_size / seconds for seconds in result[_OURS]["all_seconds"]]
    result["flops_per_image"] = flops
    result["flops_per_image_with_transforms"] = about[_OURS]["flops_per_image_with_transforms"]
    result["matrix_product_flops"] = Timing(tuple(speeds)).median
    result["share_of_matrix_product"] = compute_median_ratio(reached, speeds)
    return result


def _summarize_steps(steps: list[dict[str, Any]], batch_size: int) -> dict[str, Any]:
    timing = Timing(tuple(step["seconds"] for step in steps))
    return {
        "seconds": timing.median,
        "all_seconds": timing.seconds,
        "images_per_second": batch_size / timing.median,
        "peak_memory_bytes": max(step["peak_memory_bytes"] for step in steps),
    }
