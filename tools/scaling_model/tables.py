"""Tables of `tools/scaling.py`: a title, and rows of text of which the first is the header."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.training.network_scalars import count_parameters
from sagan_tf.training.state import TrainState, create_state
from tools.scaling_model import counts, prediction
from tools.scaling_model.prediction import DEVICES, BatchWork, Cluster, Device, Reduction, ScalingModel, StepPrediction

if TYPE_CHECKING:
    from tools.scaling import ScalingOptions

Rows = list[list[str]]

REPLICA_IMAGES = 32
"""Images of a replica in weak scaling and in the table of memory."""
GPU_COUNTS = (1, 4, 8)
"""Numbers of GPUs in the machine that computes a whole run."""
JPEG_BYTES = 110e3  # about the mean of ImageNet: 138 GB for 1.28M images
# docs/performance.md: `tools/benchmark.py pipeline` on two cores, at 128 px from JPEGs of 500 x 375 pixels.
ORIGINAL_IMAGES_PER_CORE = 1126 / 2
PREPARED_IMAGES_PER_CORE = 4790 / 2


class Tables:
    """Tables of a configuration and the machines that train it, with a method for each entry of `TABLES`."""

    def __init__(self, options: ScalingOptions, config: Config) -> None:
        self.options, self.config = options, config
        self.gpu = DEVICES[options.device]
        self.batch, self.num_steps = config.training.global_batch_size, config.training.num_steps

    @functools.cached_property
    def state(self) -> TrainState:
        """Networks and optimizers."""
        return create_state(self.config)

    @functools.cached_property
    def work(self) -> dict[str, BatchWork]:
        """Work of a replica in the parts of a step."""
        return counts.count_step(self.config, self.state)

    @functools.cached_property
    def model(self) -> ScalingModel:
        """Model of the step on the chosen GPU."""
        return self.create_model(self.gpu)

    def create_model(self, device: Device) -> ScalingModel:
        """Create the model of the step on a GPU with units for its precision."""
        number_format = device.list_number_formats(self.config.training.precision)[0]
        assumed = prediction.UTILIZATION if number_format == "float32" else prediction.TENSOR_CORE_UTILIZATION
        reductions = counts.list_reductions(self.config, self.state)
        return ScalingModel(self.work["step"], reductions, device, number_format, self.options.utilization or assumed)

    def list_clusters(self) -> list[list[Cluster]]:
        """List a row for each number of workers, with one cluster for each speed of the network."""
        gpus, speeds = self.options.gpus_per_worker, self.options.link_gbits
        return [[Cluster(workers, gpus, speed) for speed in speeds] for workers in self.options.workers]

    def can_divide_batch(self, cluster: Cluster) -> bool:
        """Return whether the global batch can be divided among the replicas of a cluster."""
        return self.batch % (cluster.replicas * self.config.training.gradient_accumulation_steps) == 0

    def predict_strong_scaling(self) -> list[list[StepPrediction]]:
        """Predict the step of each cluster that divides the global batch; UserError if no cluster does."""
        rows = [row for row in self.list_clusters() if self.can_divide_batch(row[0])]
        if not rows:
            parts = f"{self.options.gpus_per_worker} GPUs, {self.config.training.gradient_accumulation_steps} parts"
            raise UserError(
                f"workers: expected a number that divides the global batch of {self.batch}, received "
                f"{','.join(map(str, self.options.workers))} workers of {parts}"
            )
        return [[self.model.predict(self.batch // cluster.replicas, cluster) for cluster in row] for row in rows]

    def step(self) -> tuple[str, Rows]:
        """Return the work of a replica in a step."""
        rows = [["", "GFLOP an image", "fixed", "traffic an image", "fixed", "operations"]]
        updates = f" ({self.config.training.discriminator_steps_per_step} + 1 updates)"
        for name, work in self.work.items():
            flops = [format_number(part.flops / 1e9) for part in (work.per_image, work.fixed)]
            traffic = [format_bytes(part.traffic_bytes) for part in (work.per_image, work.fixed)]
            operations = f"{work.evaluate(REPLICA_IMAGES).operations:,.0f}"
            rows.append([name + updates * (name == "step"), *flops, *traffic, operations])
        generator, discriminator = count_parameters(self.state.generator), count_parameters(self.state.discriminator)
        return f"Step: {generator:,} parameters of the generator, {discriminator:,} of the discriminator", rows

    def reductions(self) -> tuple[str, Rows]:
        """Return the all-reduces of a step."""
        kinds = counts.list_reductions(self.config, self.state)
        total = Reduction("together", *(sum(column) for column in list(zip(*kinds, strict=True))[1:]))
        rows = [["all-reduced in a step", "messages, one worker", "several workers", "bytes", ""]]
        for name, messages, worker_messages, num_bytes in [*kinds, total]:
            rows.append([name, str(messages), str(worker_messages), f"{num_bytes:,}", format_bytes(num_bytes)])
        return "Communication", rows

    def device(self) -> tuple[str, Rows]:
        """Return where the time of one GPU goes, with the whole batch, its half, its quarter and so on."""
        rows = [["images of a replica", "products", "other operations", "launching (in parallel)", "step", "images/s"]]
        for images in (self.batch // 2**n for n in range(self.batch.bit_length()) if self.batch % 2**n == 0):
            step = self.model.predict(images, Cluster())
            times = [format_seconds(time) for time in (step.products, step.traffic, step.launching, step.compute)]
            rows.append([str(images), *times, f"{step.images_per_second:,.0f}"])
        gpu, number_format = self.gpu, self.model.number_format
        products = f"{self.model.utilization:g} of {gpu.peak_flops[number_format] / 1e12:g} TFLOP/s in {number_format}"
        bandwidth = f"{prediction.BANDWIDTH_UTILIZATION:g} of {gpu.memory_bandwidth / 1e9:g} GB/s"
        return f"One {gpu.name}: {products}, {bandwidth}", rows

    def strong(self) -> tuple[str, Rows]:
        """Return the efficiency of the same global batch on more replicas, and the duration of the run."""
        steps = self.predict_strong_scaling()
        divided = {row[0].cluster.workers for row in steps}
        left_out = [str(workers) for workers in self.options.workers if workers not in divided]
        title = f"Strong scaling: global batch {self.batch}, {self.num_steps:,} steps"
        title += f" (not divisible for {', '.join(left_out)} workers)" if left_out else ""
        return title, self._list_efficiencies(steps, self.batch, lambda s: format_seconds(self.num_steps * s.seconds))

    def weak(self) -> tuple[str, Rows]:
        """Return the efficiency of a fixed number of images per replica, and images per second."""
        steps = [[self.model.predict(REPLICA_IMAGES, cluster) for cluster in row] for row in self.list_clusters()]

        def format_speed(step: StepPrediction) -> str:
            return f"{format_number(step.images_per_second)} images/s"

        title = f"Weak scaling: {REPLICA_IMAGES} images a replica"
        return title, self._list_efficiencies(steps, REPLICA_IMAGES, format_speed)

    def _list_efficiencies(
        self, steps: list[list[StepPrediction]], images_alone: int, format_speed: Callable[[StepPrediction], str]
    ) -> Rows:
        """Return a row for each number of workers, with a column for each speed of the network."""
        speeds = [f"{step.cluster.link_gbits:g} Gbit/s" for step in steps[0]]
        rows = [["workers", "GPUs", "images each", "compute", *speeds]]
        for row in steps:
            cells = [f"{self.model.compute_efficiency(s, images_alone):.1%}, {format_speed(s)}" for s in row]
            sizes = row[0].cluster.workers, row[0].cluster.replicas, row[0].replica_images
            rows.append([*map(str, sizes), format_seconds(row[0].compute), *cells])
        return rows

    def input(self) -> tuple[str, Rows]:
        """Return what strong scaling reads with the last of the given speeds of the network."""
        prepared_bytes = counts.measure_prepared_bytes(self.config.model.resolution, self.config.model.image_channels)
        inputs = {
            "original JPEGs": (JPEG_BYTES, ORIGINAL_IMAGES_PER_CORE),
            "prepared records": (prepared_bytes, PREPARED_IMAGES_PER_CORE),
        }
        columns = [column for name in inputs for column in (name, "cores of a worker")]
        rows = [["workers", "GPUs", "real images/s", *columns]]
        for *_, step in self.predict_strong_scaling():
            # An update of the generator reads no images.
            speed = self.config.training.discriminator_steps_per_step * step.images_per_second
            row = [str(step.cluster.workers), str(step.cluster.replicas), f"{speed:,.0f}"]
            for image_bytes, per_core in inputs.values():
                row += [f"{format_bytes(speed * image_bytes)}/s", f"{speed / per_core / step.cluster.workers:.1f}"]
            rows.append(row)
        sizes = ", ".join(f"{name} of {format_bytes(image_bytes)}" for name, (image_bytes, _) in inputs.items())
        return f"Input at {self.options.link_gbits[-1]:g} Gbit/s: {sizes}", rows

    def memory(self) -> tuple[str, Rows]:
        """Return the memory of a replica at each resolution."""
        columns = ["images of", "attention at", "parameters", "weights", "an image", f"with {REPLICA_IMAGES} images"]
        rows = [[*columns, f"{self.gpu.name} holds at most"]]
        for config in counts.list_resolutions(self.config):
            model, state = config.model, create_state(config)
            places = [",".join(map(str, p)) or "-" for p in (model.generator_attention, model.discriminator_attention)]
            parameters = [f"{count_parameters(net) / 1e6:.1f}M" for net in (state.generator, state.discriminator)]
            total = counts.estimate_replica_memory(config, state, REPLICA_IMAGES)
            sizes = [format_bytes(size) for size in (*counts.split_memory(config, state), total)]
            attention, images = " / ".join(dict.fromkeys(places)), counts.find_max_images(config, state, self.gpu)
            rows.append([f"{model.resolution} px", attention, " + ".join(parameters), *sizes, f"{images:,} images"])
        return "Memory of a replica (training's estimate)", rows

    def run(self) -> tuple[str, Rows]:
        """Return the time and GPU-hours of the run on every GPU or, with a price, on the chosen one."""
        precision, price = self.config.training.precision, self.options.price_per_hour
        clusters = [Cluster(1, gpus) for gpus in GPU_COUNTS if self.can_divide_batch(Cluster(1, gpus))]
        rows = [["", "multiplies in", *(f"{c.replicas} GPU{'s' * (c.replicas > 1)}" for c in clusters)]]
        for device in DEVICES.values() if price is None else [self.gpu]:
            if device.list_number_formats(precision):
                model = self.create_model(device)
                rows.append([device.name, model.number_format, *self._list_costs(model, clusters)])
        title = f"Run of {self.num_steps:,} steps in one machine"
        if any("*" in cell for row in rows for cell in row):
            title += "; * the batch does not fit: with gradient accumulation, in about the same time"
        return title, rows

    def _list_costs(self, model: ScalingModel, clusters: list[Cluster]) -> Iterator[str]:
        for cluster in clusters:
            images, price = self.batch // cluster.replicas, self.options.price_per_hour
            seconds = self.num_steps * model.predict(images, cluster).seconds
            part = images // self.config.training.gradient_accumulation_steps
            fits = counts.estimate_replica_memory(self.config, self.state, part) <= model.device.memory_bytes
            gpu_hours = cluster.replicas * seconds / 3600
            cost = f"{format_seconds(seconds)}{'' if fits else '*'}, {format_number(gpu_hours)} GPU-h"
            yield cost if price is None else f"{cost}, price {format_number(gpu_hours * price)}"


TABLES: dict[str, Callable[[Tables], tuple[str, Rows]]] = {
    "step": Tables.step,
    "reductions": Tables.reductions,
    "device": Tables.device,
    "strong": Tables.strong,
    "weak": Tables.weak,
    "input": Tables.input,
    "memory": Tables.memory,
    "run": Tables.run,
}
"""Functions that return a table, by value of `--tables`."""


def format_seconds(seconds: float) -> str:
    """Format a duration with three digits in a unit from milliseconds to days."""
    return _format_in_units(seconds, {"days": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3})


def format_bytes(num_bytes: float) -> str:
    """Format a size with three digits in the largest suitable decimal unit."""
    return _format_in_units(num_bytes, {"GB": 1e9, "MB": 1e6, "kB": 1e3, "B": 1.0})


def _format_in_units(value: float, units: dict[str, float]) -> str:
    """Format a value in the largest unit in which it is at least 1."""
    unit = next((name for name, size in units.items() if value >= size), list(units)[-1])
    return f"{format_number(value / units[unit])} {unit}"


def format_number(value: float) -> str:
    """Format a number with three digits: 0.0123, 1.23, 12.3, 1,234."""
    if value >= 100.0:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if value else "0"
