"""The compiled inner loop: several alternating updates in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from sagan_tf.config import TrainingConfig
from sagan_tf.distribution.strategy import num_workers
from sagan_tf.generation.latents import training_draw
from sagan_tf.training.ema import ema_decay, move_average
from sagan_tf.training.gradients import Metrics
from sagan_tf.training.steps import AlternatingUpdates


class Trainer:
    """Runs steps on all replicas.

    A step is `discriminator_steps_per_step` discriminator updates, each on fresh real images and latents, one generator
    update, and one move of the averaged generator.

    Args:
        updates: the two updates.
        strategy: where they run; `updates.state` was made inside its scope.
        iterator: gives batches {"images", "labels", "positions"} to each replica, without end.
        config: schedule and compilation.

    Attributes:
        state: what is trained.
        strategy: where it runs.
        metrics: names of what a step returns, in order.
    """

    def __init__(
        self,
        updates: AlternatingUpdates,
        strategy: tf.distribute.Strategy,
        iterator: Iterator[Any],
        config: TrainingConfig,
    ) -> None:
        self.state = updates.state
        self.strategy = strategy
        self._iterator = iterator
        self._config = config
        self._ema_decay = ema_decay(config)
        self.metrics = updates.discriminator_metrics + updates.generator_metrics
        self._discriminator_step = _replica_function(
            updates.discriminator_step, updates.discriminator_metrics, config.jit_compile
        )
        self._generator_step = _replica_function(updates.generator_step, updates.generator_metrics, config.jit_compile)
        self._compiled_loop = tf.function(self._loop)

    def restart(self, iterator: Iterator[Any]) -> None:
        """Goes on with other batches, of the same shapes, without compiling anew."""
        self._iterator = iterator

    @property
    def step(self) -> int:
        """Steps done in the whole run."""
        return int(self.state.step.numpy())

    @property
    def is_traced(self) -> bool:
        """Whether the loop has run: the first call also traces and optimizes its graph."""
        return self._compiled_loop.experimental_get_tracing_count() > 0

    def train(self, num_steps: int) -> dict[str, float]:
        """Run `num_steps` steps and return the metrics: means over all updates and replicas."""
        with self.strategy.scope():
            # A tensor: a Python number would be compiled in, and a new one trace the loop again.
            totals = self._compiled_loop(self._iterator, tf.constant(num_steps, tf.int32))
        return dict(zip(self.metrics, (totals / num_steps).numpy().tolist(), strict=True))

    def loop_graph(self) -> tf.Graph:
        """Return the graph of the compiled loop, to look at."""
        with self.strategy.scope():
            return self._compiled_loop.get_concrete_function(self._iterator, tf.constant(1, tf.int32)).graph

    def _loop(self, iterator: Iterator[Any], num_steps: tf.Tensor) -> tf.Tensor:
        totals = tf.zeros([len(self.metrics)])
        for _ in tf.range(num_steps):
            totals += self.run_step(iterator)
        return totals

    def run_step(self, iterator: Iterator[Any]) -> tf.Tensor:
        """Run one step inside a compiled function; returns its metrics, float32 [metrics]."""
        run, repeats = self.strategy.run, self._config.discriminator_steps_per_step
        metrics: list[Any] = []
        for index in range(repeats):
            batch = next(iterator)
            metrics.append(run(self._update_discriminator, (batch["images"], batch["labels"], index)))
            self.state.data_position.assign(self._next_position(batch["positions"]))
        metrics.append(run(self._update_generator, (batch["images"], batch["labels"], metrics)))
        self.state.step.assign_add(1)
        *discriminator_means, generator_means = (self.strategy.reduce("MEAN", one, axis=None) for one in metrics)
        return tf.concat([tf.add_n(discriminator_means) / repeats, generator_means], 0)

    @tf.autograph.experimental.do_not_convert
    def _update_discriminator(self, images: tf.Tensor, labels: tf.Tensor, index: int) -> tf.Tensor:
        """Run update `index` of a step in replica context; returns the metrics of this replica."""
        self._set_size(images, labels)
        return self._discriminator_step(images, labels, self._draw(index))

    @tf.autograph.experimental.do_not_convert
    def _update_generator(
        self, images: tf.Tensor, labels: tf.Tensor, discriminator_metrics: Sequence[tf.Tensor]
    ) -> tf.Tensor:
        """Run the generator's update in replica context and move the average; returns the metrics of this replica."""
        self._set_size(images, labels)
        # The generator's update waits for the discriminator's, or the activations of both would be in memory at once.
        # It waits for those of its replica: for the means over replicas, the host would wait for all devices.
        with tf.control_dependencies(discriminator_metrics):
            draw = tf.identity(self._draw(self._config.discriminator_steps_per_step))
        metrics = self._generator_step(images, labels, draw)
        generator, average = self.state.generator, self.state.generator_ema
        move_average(average.variables, generator.variables, self._ema_decay(self.state.step + 1))
        return metrics

    def _set_size(self, *batch: tf.Tensor) -> None:
        """Make the size of a replica's batch known; several workers lose it, and layers choose their forms by it."""
        size = self._config.global_batch_size // self.strategy.num_replicas_in_sync
        for tensor in batch:
            tensor.set_shape([size, *tensor.shape[1:]])

    def _draw(self, index: int) -> tf.Tensor:
        """Return the number of an update's draw, from this replica's copies of the counters."""
        updates = self.state.step * (self._config.discriminator_steps_per_step + 1)
        return training_draw(updates, self.state.rollbacks) + tf.cast(index, tf.int64)

    def _next_position(self, positions: Any) -> tf.Tensor:
        """Where every worker can go on: beyond the last position that any replica was given.

        Workers take positions in turn, so the next round begins at a multiple of their number.
        """
        replicas = self.strategy.experimental_local_results(positions)
        last, workers = tf.reduce_max(tf.concat(replicas, 0)), num_workers(self.strategy)
        return (last // workers + 1) * workers


def _replica_function(
    step: Callable[..., Metrics], names: Sequence[str], jit_compile: bool
) -> Callable[..., tf.Tensor]:
    """Return an update whose metrics are one vector, in the order of `names`, which is reduced over replicas at once.

    Without XLA it is not a `tf.function` of its own: replicas that share a traced function share its collectives' keys,
    and their all-reduces then meet in the wrong order.
    """

    @tf.autograph.experimental.do_not_convert
    def run(images: tf.Tensor, labels: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
        metrics = step(images, labels, draw)
        return tf.stack([metrics[name] for name in names])

    if not jit_compile:
        return run
    compiled = tf.function(run, jit_compile=True)
    # A GPU hands int32 arguments to a function through the host's memory.
    return lambda images, labels, draw: compiled(images, tf.cast(labels, tf.int64), draw)
