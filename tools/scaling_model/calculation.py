"""Scaling model of one configuration, whose parts are computed on first use."""

from __future__ import annotations

import functools
from collections.abc import Callable

from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.training.state import TrainState, create_state
from tools.scaling_model import tables
from tools.scaling_model.communication import Cluster, Reduction
from tools.scaling_model.devices import DEVICES
from tools.scaling_model.image_input import create_image_inputs
from tools.scaling_model.memory import estimate_memory_by_resolution, estimate_replica_memory
from tools.scaling_model.options import ScalingOptions
from tools.scaling_model.prediction import Prediction, ScalingModel
from tools.scaling_model.reductions import list_reductions
from tools.scaling_model.run_cost import compute_run_costs
from tools.scaling_model.step import Step, count_network_sizes, measure_step


class Calculation:
    """Facts, counts and predictions of a configuration.

    Args:
        options: The machines and the assumptions.
        config: The configuration, with its number of classes.
    """

    def __init__(self, options: ScalingOptions, config: Config) -> None:
        self.options = options
        self.config = config
        self.device = options.create_device(config.training.precision)

    @functools.cached_property
    def state(self) -> TrainState:
        """Networks and optimizers of the configuration."""
        return create_state(self.config)

    @functools.cached_property
    def reductions(self) -> tuple[Reduction, ...]:
        """All-reduces of a step."""
        return list_reductions(count_network_sizes(self.state), self.config)

    @functools.cached_property
    def step(self) -> Step:
        """Work of a replica in a step."""
        return measure_step(self.config, self.state)

    @functools.cached_property
    def model(self) -> ScalingModel:
        """Model that predicts times."""
        return ScalingModel(
            work=self.step.work,
            reductions=self.reductions,
            device=self.device,
            precision=self.config.training.precision,
            accumulation=self.config.training.gradient_accumulation_steps,
            assumptions=self.options.create_assumptions(),
        )

    @functools.cached_property
    def strong_scaling(self) -> list[list[Prediction]]:
        """Predictions with the configuration's global batch.

        There is a list for each number of workers among which the batch can be divided, with one prediction for each
        speed of the network.
        """
        batch = self.config.training.global_batch_size
        rows = [
            [self.model.predict_strong_scaling(batch, cluster) for cluster in clusters] for clusters in self._clusters()
        ]
        possible = [[prediction for prediction in row if prediction is not None] for row in rows]
        if not any(possible):
            accumulated = f" x {self.model.accumulation} accumulation steps" * (self.model.accumulation > 1)
            raise UserError(
                f"workers: expected a number of replicas that divides the global batch of {batch}, received "
                f"{','.join(map(str, self.options.workers))} x {self.options.gpus_per_worker} GPUs{accumulated}"
            )
        return [row for row in possible if row]

    def create_table(self, name: str) -> tables.Table:
        """Create the table with a name of `options.TABLE_NAMES`."""
        return TABLE_METHODS[name](self)

    def create_step_table(self) -> tables.Table:
        """Create the table of a replica's work in a step."""
        return tables.create_step_table(count_network_sizes(self.state), self.step, self.options.replica_batch_size)

    def create_reduction_table(self) -> tables.Table:
        """Create the table of the all-reduces of a step."""
        return tables.create_reduction_table(self.reductions)

    def create_device_table(self) -> tables.Table:
        """Create the table of where the time of one GPU goes.

        The rows are the whole batch and its halves, quarters and so on, as long as they are whole numbers of images.
        """
        (alone, *_), *_ = self._clusters(workers=(1,), gpus_per_worker=1)
        batch = self.config.training.global_batch_size
        parts = [batch // 2**halvings for halvings in range(batch.bit_length()) if batch % 2**halvings == 0]
        return tables.create_device_table(
            self.model, [self.model.predict_weak_scaling(images, alone) for images in parts]
        )

    def create_strong_table(self) -> tables.Table:
        """Create the table of the same global batch on more replicas."""
        training = self.config.training
        title = f"Strong scaling: global batch {training.global_batch_size}, {training.num_steps:,} steps"
        cut = {row[0].cluster.workers for row in self.strong_scaling}
        if left_out := [str(workers) for workers in self.options.workers if workers not in cut]:
            title += f" (can't be cut for {', '.join(left_out)} workers)"
        return tables.create_scaling_table(title, self.strong_scaling, training.num_steps)

    def create_weak_table(self) -> tables.Table:
        """Create the table of a fixed number of images per replica."""
        images = self.options.replica_batch_size
        rows = [
            [self.model.predict_weak_scaling(images, cluster) for cluster in clusters] for clusters in self._clusters()
        ]
        return tables.create_scaling_table(f"Weak scaling: {images} images a replica", rows, None)

    def create_input_table(self) -> tables.Table:
        """Create the table of what the runs of strong scaling read.

        The network has the last of the given speeds.
        """
        training = self.config.training
        inputs = create_image_inputs(self.config.model, 1e3 * self.options.jpeg_kbytes)
        sizes = training.global_batch_size, training.discriminator_steps_per_step
        return tables.create_input_table([row[-1] for row in self.strong_scaling], inputs, *sizes)

    def create_memory_table(self) -> tables.Table:
        """Create the table of a replica's memory at every resolution."""
        return tables.create_memory_table(
            estimate_memory_by_resolution(self.config), self.options.replica_batch_size, self.device
        )

    def create_run_table(self) -> tables.Table:
        """Create the table of the time and GPU-hours of the run.

        It has every GPU or, if a price is given, only the chosen GPU, to which the price belongs.
        """
        training, price = self.config.training, self.options.price_per_hour
        devices = DEVICES | {self.device.name: self.device} if price is None else {self.device.name: self.device}
        costs = compute_run_costs(
            self.model,
            devices.values(),
            training.global_batch_size,
            training.num_steps,
            estimate_replica_memory(self.config, self.state),
            1e-6 * self.options.local_latency_us,
        )
        return tables.create_run_table(costs, training.precision, training.num_steps, price)

    def _clusters(self, workers: tuple[int, ...] = (), gpus_per_worker: int = 0) -> list[list[Cluster]]:
        gpus = gpus_per_worker or self.options.gpus_per_worker
        return [
            [self.options.create_cluster(count, gpus, speed, self.device) for speed in self.options.link_gbits]
            for count in workers or self.options.workers
        ]


TABLE_METHODS: dict[str, Callable[[Calculation], tables.Table]] = {
    "step": Calculation.create_step_table,
    "reductions": Calculation.create_reduction_table,
    "device": Calculation.create_device_table,
    "strong": Calculation.create_strong_table,
    "weak": Calculation.create_weak_table,
    "input": Calculation.create_input_table,
    "memory": Calculation.create_memory_table,
    "run": Calculation.create_run_table,
}
