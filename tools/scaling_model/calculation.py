"""The scaling model of one configuration: every table, each part of it computed when it is first asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable

from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.training.state import TrainState, create_state
from tools.scaling_model import tables
from tools.scaling_model.communication import Cluster, Reduction
from tools.scaling_model.devices import DEVICES
from tools.scaling_model.image_input import image_inputs
from tools.scaling_model.memory import at_every_resolution, replica_memory
from tools.scaling_model.options import ScalingOptions
from tools.scaling_model.prediction import Model, Prediction
from tools.scaling_model.reductions import reductions
from tools.scaling_model.run_cost import run_costs
from tools.scaling_model.step import Step, measure_step, network_sizes


class Calculation:
    """What is known, counted and predicted of a configuration.

    Args:
        options: the machines, and what is assumed.
        config: with its number of classes.
    """

    def __init__(self, options: ScalingOptions, config: Config) -> None:
        self.options = options
        self.config = config
        self.device = options.chosen_device(config.training.precision)

    @functools.cached_property
    def state(self) -> TrainState:
        """The networks."""
        return create_state(self.config)

    @functools.cached_property
    def reductions(self) -> tuple[Reduction, ...]:
        """What is all-reduced in a step."""
        return reductions(network_sizes(self.state), self.config)

    @functools.cached_property
    def step(self) -> Step:
        """What a replica does in a step."""
        return measure_step(self.config, self.state)

    @functools.cached_property
    def model(self) -> Model:
        """What predicts times."""
        return Model(
            work=self.step.work,
            reductions=self.reductions,
            device=self.device,
            precision=self.config.training.precision,
            accumulation=self.config.training.gradient_accumulation_steps,
            assumptions=self.options.assumptions(),
        )

    @functools.cached_property
    def strong(self) -> list[list[Prediction]]:
        """With the configuration's global batch: a list for each number of workers that it can be cut for, in it one
        for each speed of the network.
        """
        batch = self.config.training.global_batch_size
        rows = [[self.model.strong(batch, cluster) for cluster in clusters] for clusters in self._clusters()]
        found = [[one for one in row if one is not None] for row in rows]
        if not any(found):
            accumulated = f" x {self.model.accumulation} accumulation steps" * (self.model.accumulation > 1)
            raise UserError(
                f"workers: expected a number that cuts the global batch of {batch} into equal parts, received "
                f"{','.join(map(str, self.options.workers))} x {self.options.gpus_per_worker} GPUs{accumulated}"
            )
        return [row for row in found if row]

    def table(self, name: str) -> tables.Table:
        """One of `options.TABLES`."""
        return TABLES[name](self)

    def step_table(self) -> tables.Table:
        """Return what a replica does in a step."""
        return tables.step_table(network_sizes(self.state), self.step, self.options.replica_batch_size)

    def reduction_table(self) -> tables.Table:
        """Return what is all-reduced in a step."""
        return tables.reduction_table(self.reductions)

    def device_table(self) -> tables.Table:
        """Where the time of one GPU goes: with the whole batch, and with ever smaller parts of it."""
        (alone, *_), *_ = self._clusters(workers=(1,), gpus_per_worker=1)
        batch = self.config.training.global_batch_size
        parts = [batch // 2**halvings for halvings in range(batch.bit_length()) if batch % 2**halvings == 0]
        return tables.device_table(self.model, [self.model.weak(images, alone) for images in parts])

    def strong_table(self) -> tables.Table:
        """Return the same global batch on more replicas."""
        training = self.config.training
        title = f"Strong scaling: global batch {training.global_batch_size}, {training.num_steps:,} steps"
        cut = {row[0].cluster.workers for row in self.strong}
        if left_out := [str(workers) for workers in self.options.workers if workers not in cut]:
            title += f" (can't be cut for {', '.join(left_out)} workers)"
        return tables.scaling_table(title, self.strong, training.num_steps)

    def weak_table(self) -> tables.Table:
        """As many images on each replica, however many there are."""
        images = self.options.replica_batch_size
        rows = [[self.model.weak(images, cluster) for cluster in clusters] for clusters in self._clusters()]
        return tables.scaling_table(f"Weak scaling: {images} images a replica", rows, None)

    def input_table(self) -> tables.Table:
        """Return what strong scaling reads, with the network of the last speed given."""
        training = self.config.training
        inputs = image_inputs(self.config.model, 1e3 * self.options.jpeg_kbytes)
        sizes = training.global_batch_size, training.discriminator_steps_per_step
        return tables.input_table([row[-1] for row in self.strong], inputs, *sizes)

    def memory_table(self) -> tables.Table:
        """Memory of a replica at every image size."""
        return tables.memory_table(at_every_resolution(self.config), self.options.replica_batch_size, self.device)

    def run_table(self) -> tables.Table:
        """Time and GPU-hours of the run: on every GPU, or with a price, which is the chosen one's, on that one."""
        training, price = self.config.training, self.options.price_per_hour
        devices = DEVICES | {self.device.name: self.device} if price is None else {self.device.name: self.device}
        costs = run_costs(
            self.model,
            devices.values(),
            training.global_batch_size,
            training.num_steps,
            replica_memory(self.config, self.state),
            1e-6 * self.options.local_latency_us,
        )
        return tables.run_table(costs, training.precision, training.num_steps, price)

    def _clusters(self, workers: tuple[int, ...] = (), gpus_per_worker: int = 0) -> list[list[Cluster]]:
        gpus = gpus_per_worker or self.options.gpus_per_worker
        return [
            [self.options.cluster(count, gpus, speed, self.device) for speed in self.options.link_gbits]
            for count in workers or self.options.workers
        ]


TABLES: dict[str, Callable[[Calculation], tables.Table]] = {
    "step": Calculation.step_table,
    "reductions": Calculation.reduction_table,
    "device": Calculation.device_table,
    "strong": Calculation.strong_table,
    "weak": Calculation.weak_table,
    "input": Calculation.input_table,
    "memory": Calculation.memory_table,
    "run": Calculation.run_table,
}
