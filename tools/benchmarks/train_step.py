"""Time and memory of a training step, which updates the discriminator once and the generator once."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from sagan_tf.config.option import check_at_least_zero, check_positive, option
from sagan_tf.config.option_names import PRECISIONS
from sagan_tf.errors import UserError
from tools.benchmarks.measure import Timing, check_rounds, compute_median_ratio
from tools.benchmarks.worker_process import Worker

_OURS, _PEER, _PRODUCT = "ours", "peer", "matrix_product"
_TF_GAN_SIZE = (128, 3)


@dataclasses.dataclass(frozen=True)
class TrainStepOptions:
    """Options of the networks, the form of computation and the peer."""

    resolution: int = option(128, "Height and width of the images.")
    image_channels: int = option(3, "Channels of the images.")
    base_channels: int = option(64, "Base channels of both networks.")
    num_classes: int = option(1000, "Number of classes.")
    attention_resolution: int = option(32, "Resolution of self-attention; 0: none.")
    batch_size: int = option(8, "Images of an update.")
    precision: str = option("float32", "Precision of the computation.", choices=tuple(PRECISIONS))
    jit_compile: bool = option(False, "Compile the updates with XLA.")
    peer: str = option(
        "none",
        "tf_gan: TF-GAN's example; plain: this project with --resampling=plain; default: this project in float32 "
        "without XLA.",
        choices=("none", "tf_gan", "plain", "default"),
    )
    rounds: int = option(7, "Measured steps of each, in turns.")

    def __post_init__(self) -> None:
        check_rounds(self.rounds)
        check_positive(self, "resolution", "image_channels", "base_channels", "batch_size")
        check_at_least_zero(self, "num_classes", "attention_resolution")
        if self.peer == "tf_gan" and (self.resolution, self.image_channels) != _TF_GAN_SIZE:
            raise UserError(
                "peer: expected 128 px and 3 channels, the only size that tf_gan supports, received "
                f"{self.resolution} px and {self.image_channels} channels"
            )


OPTIONS = (TrainStepOptions,)


def run(options: TrainStepOptions) -> dict[str, Any]:
    """Measure training steps.

    Args:
        options: The options of the benchmark.

    Returns:
        The options as `sizes`, and the measurements. `seconds` is the median over the rounds, and `ratio` the median of
        the peer's seconds / this project's, round by round.
    """
    about, workers = {}, {}
    with contextlib.ExitStack() as stack:
        for name, (measurement, parameters) in _list_requests(options).items():
            workers[name] = stack.enter_context(Worker(measurement, parameters))
            # The next worker starts later: its load would slow down `seconds_to_first_step`.
            about[name] = workers[name].wait_until_ready()
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


def _list_requests(options: TrainStepOptions) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the measurement and the parameters of each worker, by its name in the result."""
    values = dataclasses.asdict(options)
    ours = {name: value for name, value in values.items() if name not in ("peer", "rounds")} | {"resampling": "auto"}
    tf_gan = {name: values[name] for name in ("batch_size", "base_channels", "num_classes")}
    peers = {
        "plain": ("train_step", ours | {"resampling": "plain"}),
        "default": ("train_step", ours | {"precision": "float32", "jit_compile": False}),
        "tf_gan": ("tf_gan_train_step", tf_gan),
    }
    peer = {_PEER: peers[options.peer]} if options.peer != "none" else {}
    return {_OURS: ("train_step", ours), **peer, _PRODUCT: ("matrix_product", {})}


def _summarize(
    options: TrainStepOptions, about: dict[str, dict[str, Any]], rounds: list[dict[str, dict[str, Any]]]
) -> dict[str, Any]:
    result: dict[str, Any] = {"sizes": dataclasses.asdict(options)}
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
