"""Tables of `tools/scaling.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tools.scaling_model.devices import Device
from tools.scaling_model.image_input import ImageInput, compute_images_per_second
from tools.scaling_model.memory import ReplicaMemory
from tools.scaling_model.prediction import Prediction, ScalingModel
from tools.scaling_model.reductions import Reduction
from tools.scaling_model.run_cost import RunCost
from tools.scaling_model.step import NetworkSizes, Step

_NO_ATTENTION = "-"


@dataclasses.dataclass(frozen=True)
class Table:
    """Table of text with its figures.

    Attributes:
        title: Title above the table.
        rows: Cells, of which the first row is the header.
        figures: The same numbers unrounded, in seconds, bytes and fractions; one dictionary per row.
    """

    title: str
    rows: list[list[str]]
    figures: list[dict[str, Any]]


def format_seconds(seconds: float) -> str:
    """Format a duration with three digits in a unit from milliseconds to days."""
    return _format_in_units(seconds, {"days": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3})


def format_bytes(num_bytes: float) -> str:
    """Format a size with three digits in the largest suitable decimal unit."""
    return _format_in_units(num_bytes, {"GB": 1e9, "MB": 1e6, "kB": 1e3, "B": 1.0})


def create_step_table(sizes: NetworkSizes, step: Step, replica_images: int) -> Table:
    """Create the table of a replica's work in a step."""
    updates = {
        "update of the discriminator": step.discriminator_update,
        "update of the generator": step.generator_update,
        "averaged generator": step.averaging,
        f"step ({step.discriminator_updates} + 1 updates)": step.work,
    }
    rows = [["", "GFLOP an image", "fixed", "traffic an image", "fixed", "operations"]]
    figures = []
    for name, work in updates.items():
        fixed, image = work.fixed, work.per_image
        flops = [f"{_format_three_digits(part.flops / 1e9)}" for part in (image, fixed)]
        traffic = [format_bytes(part.traffic_bytes) for part in (image, fixed)]
        rows.append([name, *flops, *traffic, f"{work.evaluate(replica_images).operations:,.0f}"])
        figures.append({"part": name, "fixed": dataclasses.asdict(fixed), "per_image": dataclasses.asdict(image)})
    title = f"Step: {sizes.generator:,} parameters of the generator, {sizes.discriminator:,} of the discriminator"
    return Table(title, rows, figures)


def create_reduction_table(reductions: Sequence[Reduction]) -> Table:
    """Create the table of the all-reduces of a step."""
    rows = [["all-reduced in a step", "messages, one worker", "several workers", "bytes", ""]]
    for reduction in reductions:
        messages = str(reduction.messages), str(reduction.worker_messages)
        rows.append([reduction.name, *messages, f"{reduction.num_bytes:,}", format_bytes(reduction.num_bytes)])
    fields = ("messages", "worker_messages", "num_bytes")
    messages, worker_messages, num_bytes = (
        sum(getattr(reduction, field) for reduction in reductions) for field in fields
    )
    rows.append(["together", str(messages), str(worker_messages), f"{num_bytes:,}", format_bytes(num_bytes)])
    return Table(
        "Communication",
        rows,
        [dataclasses.asdict(reduction) | {"num_bytes": reduction.num_bytes} for reduction in reductions],
    )


def create_device_table(model: ScalingModel, predictions: Sequence[Prediction]) -> Table:
    """Create the table of where the time of a GPU goes, by its images."""
    rows = [["images of a replica", "products", "the rest", "launching, beside", "step", "images/s"]]
    figures = []
    for prediction in predictions:
        time = prediction.time
        parts = [format_seconds(value) for value in (time.products, time.traffic, time.launching, time.compute)]
        rows.append([str(prediction.replica_images), *parts, f"{prediction.replica_images / time.compute:,.0f}"])
        figures.append({"images": prediction.replica_images, **dataclasses.asdict(time)})
    number_format = model.device.choose_number_format(model.precision)
    peak = model.device.peak_flops[number_format] / 1e12
    title = f"One {model.device.name}: {model.utilization:g} of {peak:g} TFLOP/s in {number_format}, "
    bandwidth = model.device.memory_bandwidth / 1e9
    return Table(f"{title}{model.assumptions.bandwidth_utilization:g} of {bandwidth:g} GB/s", rows, figures)


def create_scaling_table(
    title: str, rows_of_predictions: Sequence[Sequence[Prediction]], num_steps: int | None
) -> Table:
    """Create the table of efficiency by number of workers.

    It has a column for each speed of the network.

    Args:
        title: Title of the table.
        rows_of_predictions: A row for each number of workers, with one prediction for each speed.
        num_steps: Steps of the run, whose duration is then shown next to the efficiency; None: images per second are
            shown.
    """
    speeds = [f"{_get_link_gbits(prediction):g} Gbit/s" for prediction in rows_of_predictions[0]]
    rows = [["workers", "GPUs", "images each", "compute", *speeds]]
    figures = []
    for predictions in rows_of_predictions:
        first, cells = predictions[0], []
        for prediction in predictions:
            speed = prediction.cluster.replicas * prediction.replica_images / prediction.time.total
            beside = (
                f"{_format_three_digits(speed)} images/s"
                if num_steps is None
                else format_seconds(num_steps * prediction.time.total)
            )
            cells.append(f"{prediction.efficiency:.1%}, {beside}")
            figures.append(_list_prediction_figures(prediction) | {"images_per_second": speed})
        sizes = [prediction.cluster.workers, prediction.cluster.replicas, prediction.replica_images]
        rows.append([*map(str, sizes), format_seconds(first.time.compute), *cells])
    return Table(title, rows, figures)


def create_input_table(
    predictions: Sequence[Prediction], inputs: Sequence[ImageInput], global_batch_size: int, discriminator_updates: int
) -> Table:
    """Create the table of images, bytes and cores that strong scaling takes."""
    columns = [cell for image_input in inputs for cell in (image_input.name, "cores of a worker")]
    rows = [["workers", "GPUs", "real images/s", *columns]]
    figures = []
    for prediction in predictions:
        speed = compute_images_per_second(global_batch_size, discriminator_updates, prediction.time.total)
        row = [str(prediction.cluster.workers), str(prediction.cluster.replicas), f"{speed:,.0f}"]
        for image_input in inputs:
            read, cores = (
                image_input.compute_bytes_per_second(speed),
                image_input.compute_cores(speed) / prediction.cluster.workers,
            )
            row += [f"{format_bytes(read)}/s", f"{cores:.1f}"]
            figures.append(
                {"workers": prediction.cluster.workers, "images_per_second": speed, "files": image_input.name}
                | {"bytes_per_second": read, "cores_of_a_worker": cores}
            )
        rows.append(row)
    sizes = ", ".join(f"{image_input.name} of {format_bytes(image_input.image_bytes)}" for image_input in inputs)
    return Table(f"Input at {_get_link_gbits(predictions[0]):g} Gbit/s: {sizes}", rows, figures)


def create_memory_table(memories: Sequence[ReplicaMemory], replica_images: int, device: Device) -> Table:
    """Create the table of a replica's memory at each resolution."""
    images = f"with {replica_images} images"
    rows = [["images of", "attention at", "parameters", "weights", "an image", images, f"{device.name} holds at most"]]
    figures = []
    for memory in memories:
        generator, discriminator = memory.model.generator_attention, memory.model.discriminator_attention
        attention = " / ".join(
            dict.fromkeys(",".join(map(str, where)) or _NO_ATTENTION for where in (generator, discriminator))
        )
        parameters = " + ".join(f"{count / 1e6:.1f}M" for count in memory.parameters)
        total, max_images = memory.compute_bytes(replica_images), memory.find_max_images(device.memory_bytes)
        sizes = [format_bytes(value) for value in (memory.weights_bytes, memory.image_bytes, total)]
        rows.append([f"{memory.model.resolution} px", attention, parameters, *sizes, f"{max_images:,} images"])
        figures.append(
            {
                "resolution": memory.model.resolution,
                "parameters": memory.parameters,
                "weights_bytes": memory.weights_bytes,
            }
            | {"image_bytes": memory.image_bytes, "bytes": total, "most_images": max_images}
        )
    return Table("Memory of a replica (training's estimate)", rows, figures)


def create_run_table(
    costs: Sequence[Sequence[RunCost]], precision: str, num_steps: int, price_per_hour: float | None
) -> Table:
    """Create the table of time and GPU-hours of the whole run in one machine.

    Args:
        costs: A row for each device, with one cost for each number of GPUs.
        precision: `config.training.precision`.
        num_steps: Steps of the run.
        price_per_hour: Price of a GPU; None: no prices.
    """
    rows = [["", "multiplies in", *(f"{cost.gpus} GPU{'s' * (cost.gpus > 1)}" for cost in costs[0])]]
    figures = []
    for device_costs in costs:
        device, cells = device_costs[0].device, []
        for cost in device_costs:
            figure: dict[str, Any] = {"device": device.name, "gpus": cost.gpus, "step_seconds": cost.step_seconds}
            figure |= {"run_seconds": cost.run_seconds, "gpu_hours": cost.gpu_hours, "fits": cost.fits}
            cell = f"{format_seconds(cost.run_seconds)}{'' if cost.fits else '*'}"
            cell += f", {_format_three_digits(cost.gpu_hours)} GPU-h"
            if price_per_hour is not None:
                figure["price"] = cost.gpu_hours * price_per_hour
                cell += f", price {_format_three_digits(figure['price'])}"
            cells.append(cell)
            figures.append(figure)
        rows.append([device.name, device.choose_number_format(precision), *cells])
    everything_fits = all(cost.fits for device_costs in costs for cost in device_costs)
    note = "" if everything_fits else "; * the batch does not fit: with gradient accumulation, in about the same time"
    return Table(f"Run of {num_steps:,} steps in one machine{note}", rows, figures)


def _list_prediction_figures(prediction: Prediction) -> dict[str, Any]:
    return {
        "workers": prediction.cluster.workers,
        "gpus": prediction.cluster.replicas,
        "link_gbits": _get_link_gbits(prediction),
        "replica_images": prediction.replica_images,
        "efficiency": prediction.efficiency,
        "step_seconds": prediction.time.total,
        **dataclasses.asdict(prediction.time),
    }


def _get_link_gbits(prediction: Prediction) -> float:
    return prediction.cluster.network.bytes_per_second * 8 / 1e9


def _format_in_units(value: float, units: dict[str, float]) -> str:
    """Format a value in the largest unit in which it is at least 1."""
    smallest = list(units.items())[-1]
    unit, size = next(((name, size) for name, size in units.items() if value >= size), smallest)
    return f"{_format_three_digits(value / size)} {unit}"


def _format_three_digits(value: float) -> str:
    """Format a number with three digits: 0.0123, 1.23, 12.3, 1,234."""
    if value >= 100.0:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if value else "0"
