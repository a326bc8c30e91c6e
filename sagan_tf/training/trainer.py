"""The compiled inner loop: several alternating updates in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from sagan_tf.config import TrainingConfig
from sagan_tf.distribution.strategy import count_workers
from sagan_tf.generation.latents import compute_training_draw_number
from sagan_tf.training.ema import create_ema_decay, move_average
from sagan_tf.training.gradients import Metrics
from sagan_tf.training.steps import AlternatingUpdates

Batch = Mapping[str, Any]
"""Images, labels and positions by name: tensors, or values of each replica outside of a replica."""
Update = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Metrics]
"""Maps real images, labels and the number of the random draw to the metrics of an update of this replica."""
ReplicaFunction = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
"""An update whose metrics are one vector."""


class Trainer:
    """Compiled training steps on all replicas.

    A step is `discriminator_steps_per_step` discriminator updates, each on new real images and latents, one generator
    update, and one update of the EMA generator.

    Args:
        updates: The two updates.
        strategy: The strategy in whose scope `updates.state` was created.
        iterator: Endless batches {"images", "labels", "positions"} for each replica.
        config: The schedule and the compilation.

    Attributes:
        state: The state that is trained.
        strategy: The strategy.
        metric_names: Names of the metrics of a step, in order.
    """

    def __init__(
        self,
        updates: AlternatingUpdates,
        strategy: tf.distribute.Strategy,
        iterator: Iterator[Batch],
        config: TrainingConfig,
    ) -> None:
        self.state = updates.state
        self.strategy = strategy
        self._iterator = iterator
        self._config = config
        self._ema_decay = create_ema_decay(config)
        self.metric_names = updates.discriminator_metrics + updates.generator_metrics
        self._discriminator_step = _create_replica_function(
            updates.discriminator_step, updates.discriminator_metrics, config.jit_compile
        )
        self._generator_step = _create_replica_function(
            updates.generator_step, updates.generator_metrics, config.jit_compile
        )
        self._compiled_loop = tf.function(self._run_steps)

    def replace_iterator(self, iterator: Iterator[Batch]) -> None:
        """Continue with another iterator of the same shapes, without a new trace."""
        self._iterator = iterator

    @property
    def step(self) -> int:
        """Number of steps done in the whole run."""
        return int(self.state.step.numpy())

    @property
    def is_traced(self) -> bool:
        """Return whether the loop has run. The first call also traces and optimizes its graph."""
        return self._compiled_loop.experimental_get_tracing_count() > 0

    def train(self, num_steps: int) -> dict[str, float]:
        """Run `num_steps` steps and return the means of the metrics.

        The means are over all updates and replicas.
        """
        with self.strategy.scope():
            # A tensor, because each new Python number would be compiled in and trace the loop again.
            totals = self._compiled_loop(self._iterator, tf.constant(num_steps, tf.int32))
        return dict(zip(self.metric_names, (totals / num_steps).numpy().tolist(), strict=True))

    def trace_loop(self) -> tf.Graph:
        """Return the graph of the compiled loop, for inspection."""
        with self.strategy.scope():
            return self._compiled_loop.get_concrete_function(self._iterator, tf.constant(1, tf.int32)).graph

    def _run_steps(self, iterator: Iterator[Batch], num_steps: tf.Tensor) -> tf.Tensor:
        # Metrics are one vector here. A dict would be a loop variable and a reduction over replicas for each metric.
        totals = tf.zeros([len(self.metric_names)])
        for _ in tf.range(num_steps):
            totals += self.run_step(iterator)
        return totals

    def run_step(self, iterator: Iterator[Batch]) -> tf.Tensor:
        """Run one step inside a compiled function; return its metrics, float32 [metrics]."""
        run, repeats = self.strategy.run, self._config.discriminator_steps_per_step
        metrics: list[Any] = []
        for index in range(repeats):
            batch = next(iterator)
            metrics.append(run(self._update_discriminator, (batch["images"], batch["labels"], index)))
            self.state.data_position.assign(self._compute_next_position(batch["positions"]))
        metrics.append(run(self._update_generator, (batch["images"], batch["labels"], metrics)))
        self.state.step.assign_add(1)
        *discriminator_means, generator_means = (self.strategy.reduce("MEAN", vector, axis=None) for vector in metrics)
        return tf.concat([tf.add_n(discriminator_means) / repeats, generator_means], 0)

    @tf.autograph.experimental.do_not_convert
    def _update_discriminator(self, images: tf.Tensor, labels: tf.Tensor, index: int) -> tf.Tensor:
        """Run discriminator update `index` of a step; return this replica's metrics."""
        self._set_batch_size(images, labels)
        return self._discriminator_step(images, labels, self._compute_draw_number(index))

    @tf.autograph.experimental.do_not_convert
    def _update_generator(
        self, images: tf.Tensor, labels: tf.Tensor, discriminator_metrics: Sequence[tf.Tensor]
    ) -> tf.Tensor:
        """Update the generator and the EMA generator; return this replica's metrics."""
        self._set_batch_size(images, labels)
        # The generator update waits for the discriminator updates. Otherwise the activations of both would be in memory
        # at once. It waits for the metrics of its own replica: for the means over replicas, the host would wait for all
        # devices.
        with tf.control_dependencies(discriminator_metrics):
            draw = tf.identity(self._compute_draw_number(self._config.discriminator_steps_per_step))
        metrics = self._generator_step(images, labels, draw)
        generator, average = self.state.generator, self.state.generator_ema
        move_average(average.variables, generator.variables, self._ema_decay(self.state.step + 1))
        return metrics

    def _set_batch_size(self, *batch: tf.Tensor) -> None:
        """Set the static batch size of a replica.

        Several workers lose it, and layers need it to choose their forms.
        """
        size = self._config.global_batch_size // self.strategy.num_replicas_in_sync
        for tensor in batch:
            tensor.set_shape([size, *tensor.shape[1:]])

    def _compute_draw_number(self, index: int) -> tf.Tensor:
        """Return the number of an update's random draw, from this replica's counters."""
        updates = self.state.step * (self._config.discriminator_steps_per_step + 1)
        return compute_training_draw_number(updates, self.state.rollbacks) + tf.cast(index, tf.int64)

    def _compute_next_position(self, positions: Any) -> tf.Tensor:
        """Return the position at which every worker can continue.

        It comes after the last position of any replica. Workers take positions in turn, so the next round begins at a
        multiple of the number of workers.
        """
        replicas = self.strategy.experimental_local_results(positions)
        last, workers = tf.reduce_max(tf.concat(replicas, 0)), count_workers(self.strategy)
        return (last // workers + 1) * workers


def _create_replica_function(step: Update, names: Sequence[str], jit_compile: bool) -> ReplicaFunction:
    """Return an update whose metrics are one vector, in the order of `names`.

    The vector is reduced over replicas at once. Without XLA the update is not a `tf.function` of its own: replicas that
    share a traced function share the keys of its collectives, and their all-reduces then meet in the wrong order.
    """

    @tf.autograph.experimental.do_not_convert
    def run(images: tf.Tensor, labels: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
        metrics = step(images, labels, draw)
        return tf.stack([metrics[name] for name in names])

    if not jit_compile:
        return run
    compiled = tf.function(run, jit_compile=True)

    def run_compiled(images: tf.Tensor, labels: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
        # A GPU hands int32 arguments to a function through the host's memory.
        return compiled(images, tf.cast(labels, tf.int64), draw)

    return run_compiled
