"""The tables that `tools/scaling.py` prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tools.scaling_model.devices import Device
from tools.scaling_model.image_input import ImageInput, images_per_second
from tools.scaling_model.memory import ReplicaMemory
from tools.scaling_model.prediction import Model, Prediction
from tools.scaling_model.reductions import Reduction
from tools.scaling_model.run_cost import RunCost
from tools.scaling_model.step import NetworkSizes, Step

NONE = "-"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: above it.
        rows: its cells, the head first.
        figures: the same numbers unrounded, in seconds, bytes and fractions; a dictionary a row.
    """

    title: str
    rows: list[list[str]]
    figures: list[dict[str, Any]]


def seconds_text(seconds: float) -> str:
    """Three digits in the largest unit that leaves at least 1, from milliseconds to days."""
    return _in_units(seconds, {"days": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3})


def bytes_text(num_bytes: float) -> str:
    """Three digits in the largest decimal unit that leaves at least 1."""
    return _in_units(num_bytes, {"GB": 1e9, "MB": 1e6, "kB": 1e3, "B": 1.0})


def step_table(sizes: NetworkSizes, step: Step, replica_images: int) -> Table:
    """Return what a replica does in a step."""
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
        flops = [f"{_three_digits(one.flops / 1e9)}" for one in (image, fixed)]
        traffic = [bytes_text(one.traffic_bytes) for one in (image, fixed)]
        rows.append([name, *flops, *traffic, f"{work.of(replica_images).operations:,.0f}"])
        figures.append({"part": name, "fixed": dataclasses.asdict(fixed), "per_image": dataclasses.asdict(image)})
    title = f"Step: {sizes.generator:,} parameters of the generator, {sizes.discriminator:,} of the discriminator"
    return Table(title, rows, figures)


def reduction_table(found: Sequence[Reduction]) -> Table:
    """Return what is all-reduced in a step."""
    rows = [["all-reduced in a step", "messages, one worker", "several workers", "bytes", ""]]
    for one in found:
        messages = str(one.messages), str(one.worker_messages)
        rows.append([one.name, *messages, f"{one.num_bytes:,}", bytes_text(one.num_bytes)])
    fields = ("messages", "worker_messages", "num_bytes")
    messages, worker_messages, num_bytes = (sum(getattr(one, field) for one in found) for field in fields)
    rows.append(["together", str(messages), str(worker_messages), f"{num_bytes:,}", bytes_text(num_bytes)])
    return Table("Communication", rows, [dataclasses.asdict(one) | {"num_bytes": one.num_bytes} for one in found])


def device_table(model: Model, predictions: Sequence[Prediction]) -> Table:
    """Where the time of a GPU goes, by its images."""
    rows = [["images of a replica", "products", "the rest", "launching, beside", "step", "images/s"]]
    figures = []
    for one in predictions:
        time = one.time
        parts = [seconds_text(value) for value in (time.products, time.traffic, time.launching, time.compute)]
        rows.append([str(one.replica_images), *parts, f"{one.replica_images / time.compute:,.0f}"])
        figures.append({"images": one.replica_images, **dataclasses.asdict(time)})
    number_format = model.device.number_format(model.precision)
    peak = model.device.peak_flops[number_format] / 1e12
    title = f"One {model.device.name}: {model.utilization:g} of {peak:g} TFLOP/s in {number_format}, "
    bandwidth = model.device.memory_bandwidth / 1e9
    return Table(f"{title}{model.assumptions.bandwidth_utilization:g} of {bandwidth:g} GB/s", rows, figures)


def scaling_table(title: str, rows_of_predictions: Sequence[Sequence[Prediction]], num_steps: int | None) -> Table:
    """Efficiency by number of workers, a column for each speed of the network.

    Args:
        title: above the table.
        rows_of_predictions: a row for each number of workers, in it one for each speed.
        num_steps: of the run, whose time then stands beside the efficiency; None: images a second do.
    """
    speeds = [f"{_gigabits(one):g} Gbit/s" for one in rows_of_predictions[0]]
    rows = [["workers", "GPUs", "images each", "compute", *speeds]]
    figures = []
    for predictions in rows_of_predictions:
        first, cells = predictions[0], []
        for one in predictions:
            speed = one.cluster.replicas * one.replica_images / one.time.total
            beside = (
                f"{_three_digits(speed)} images/s" if num_steps is None else seconds_text(num_steps * one.time.total)
            )
            cells.append(f"{one.efficiency:.1%}, {beside}")
            figures.append(_prediction_figures(one) | {"images_per_second": speed})
        sizes = [one.cluster.workers, one.cluster.replicas, one.replica_images]
        rows.append([*map(str, sizes), seconds_text(first.time.compute), *cells])
    return Table(title, rows, figures)


def input_table(
    predictions: Sequence[Prediction], inputs: Sequence[ImageInput], global_batch_size: int, discriminator_updates: int
) -> Table:
    """Images, bytes and cores that the runs of the strong scaling take."""
    columns = [cell for one in inputs for cell in (one.name, "cores of a worker")]
    rows = [["workers", "GPUs", "real images/s", *columns]]
    figures = []
    for one in predictions:
        speed = images_per_second(global_batch_size, discriminator_updates, one.time.total)
        row = [str(one.cluster.workers), str(one.cluster.replicas), f"{speed:,.0f}"]
        for each in inputs:
            read, cores = each.bytes_per_second(speed), each.cores(speed) / one.cluster.workers
            row += [f"{bytes_text(read)}/s", f"{cores:.1f}"]
            figures.append(
                {"workers": one.cluster.workers, "images_per_second": speed, "files": each.name}
                | {"bytes_per_second": read, "cores_of_a_worker": cores}
            )
        rows.append(row)
    sizes = ", ".join(f"{one.name} of {bytes_text(one.image_bytes)}" for one in inputs)
    return Table(f"Input at {_gigabits(predictions[0]):g} Gbit/s: {sizes}", rows, figures)


def memory_table(found: Sequence[ReplicaMemory], replica_images: int, device: Device) -> Table:
    """Memory of a replica at each image size."""
    images = f"with {replica_images} images"
    rows = [["images of", "attention at", "parameters", "weights", "an image", images, f"{device.name} holds at most"]]
    figures = []
    for one in found:
        generator, discriminator = one.model.generator_attention, one.model.discriminator_attention
        attention = " / ".join(dict.fromkeys(",".join(map(str, where)) or NONE for where in (generator, discriminator)))
        parameters = " + ".join(f"{count / 1e6:.1f}M" for count in one.parameters)
        total, most = one.of(replica_images), one.most_images(device.memory_bytes)
        sizes = [bytes_text(value) for value in (one.weights_bytes, one.image_bytes, total)]
        rows.append([f"{one.model.resolution} px", attention, parameters, *sizes, f"{most:,} images"])
        figures.append(
            {"resolution": one.model.resolution, "parameters": one.parameters, "weights_bytes": one.weights_bytes}
            | {"image_bytes": one.image_bytes, "bytes": total, "most_images": most}
        )
    return Table("Memory of a replica (training's estimate)", rows, figures)


def run_table(
    costs: Sequence[Sequence[RunCost]], precision: str, num_steps: int, price_per_hour: float | None
) -> Table:
    """Time and GPU-hours of the whole run in one machine.

    Args:
        costs: a row for each device, in it one for each number of GPUs.
        precision: `config.training.precision`.
        num_steps: of the run.
        price_per_hour: of a GPU; None leaves prices out.
    """
    rows = [["", "multiplies in", *(f"{one.gpus} GPU{'s' * (one.gpus > 1)}" for one in costs[0])]]
    figures = []
    for of_device in costs:
        device, cells = of_device[0].device, []
        for one in of_device:
            figure: dict[str, Any] = {"device": device.name, "gpus": one.gpus, "step_seconds": one.step_seconds}
            figure |= {"run_seconds": one.run_seconds, "gpu_hours": one.gpu_hours, "fits": one.fits}
            cell = f"{seconds_text(one.run_seconds)}{'' if one.fits else '*'}, {_three_digits(one.gpu_hours)} GPU-h"
            if price_per_hour is not None:
                figure["price"] = one.gpu_hours * price_per_hour
                cell += f", price {_three_digits(figure['price'])}"
            cells.append(cell)
            figures.append(figure)
        rows.append([device.name, device.number_format(precision), *cells])
    everything_fits = all(one.fits for of_device in costs for one in of_device)
    note = "" if everything_fits else "; * the batch does not fit: with gradient accumulation, in about the same time"
    return Table(f"Run of {num_steps:,} steps in one machine{note}", rows, figures)


def _prediction_figures(one: Prediction) -> dict[str, Any]:
    return {
        "workers": one.cluster.workers,
        "gpus": one.cluster.replicas,
        "link_gbits": _gigabits(one),
        "replica_images": one.replica_images,
        "efficiency": one.efficiency,
        "step_seconds": one.time.total,
        **dataclasses.asdict(one.time),
    }


def _gigabits(one: Prediction) -> float:
    return one.cluster.network.bytes_per_second * 8 / 1e9


def _in_units(value: float, units: dict[str, float]) -> str:
    smallest = list(units.items())[-1]
    unit, size = next((one for one in units.items() if value >= one[1]), smallest)
    return f"{_three_digits(value / size)} {unit}"


def _three_digits(value: float) -> str:
    """Three digits, or all before the point: 0.0123, 1.23, 12.3, 1,234."""
    if value >= 100.0:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if value else "0"
