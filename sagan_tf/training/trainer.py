"""The compiled inner loop: several alternating updates in one call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from sagan_tf.config import TrainingConfig
from sagan_tf.training.ema import move_average
from sagan_tf.training.gradients import Metrics
from sagan_tf.training.steps import AlternatingUpdates
from sagan_tf.training.strategy import num_workers


class Trainer:
    """Runs steps on all replicas.

    A step is `discriminator_steps_per_step` discriminator updates, each on fresh real images and latents, one generator
    update, and one move of the averaged generator.

    Args:
        updates: the two updates.
        strategy: where they run; `updates.state` was made inside its scope.
        iterator: gives batches {"images", "labels", "positions"} to each replica, without end.
        config: schedule and compilation.
    """

    def __init__(
        self,
        updates: AlternatingUpdates,
        strategy: tf.distribute.Strategy,
        iterator: Iterator[Any],
        config: TrainingConfig,
    ) -> None:
        self.state = updates.state
        self._strategy = strategy
        self._iterator = iterator
        self._config = config
        compiled = config.jit_compile
        self._discriminator_step = tf.function(updates.discriminator_step, jit_compile=compiled, autograph=False)
        self._generator_step = tf.function(updates.generator_step, jit_compile=compiled, autograph=False)
        self._metric_names: list[str] = []
        self._compiled_loop = tf.function(self._loop)

    @property
    def step(self) -> int:
        """Steps done in the whole run."""
        return int(self.state.step.numpy())

    def train(self, num_steps: int) -> dict[str, float]:
        """Runs `num_steps` steps and returns the metrics, means over them."""
        with self._strategy.scope():
            # A tensor: a Python number would be compiled in, and a new one trace the loop again.
            totals = self._compiled_loop(self._iterator, tf.constant(num_steps, tf.int32))
        return dict(zip(self._metric_names, (totals / num_steps).numpy().tolist(), strict=True))

    def _loop(self, iterator: Iterator[Any], num_steps: tf.Tensor) -> tf.Tensor:
        totals = self._step(iterator)
        for _ in tf.range(1, num_steps):
            totals += self._step(iterator)
        return totals

    def _step(self, iterator: Iterator[Any]) -> tf.Tensor:
        state, repeats = self.state, self._config.discriminator_steps_per_step
        first_draw = state.step * (repeats + 1)
        metrics: Metrics = {}
        for index in range(repeats):
            batch = next(iterator)
            metrics = self._run(self._discriminator_step, batch["images"], batch["labels"], first_draw + index)
            state.data_position.assign(self._next_position(batch["positions"]))
        metrics |= self._run(self._generator_step, first_draw + repeats)
        state.step.assign_add(1)
        decay = tf.where(state.step < self._config.ema_start_step, 0.0, self._config.ema_decay)
        move_average(state.generator_ema.variables, state.generator.variables, decay)
        self._metric_names = list(metrics)
        return tf.stack(list(metrics.values()))

    def _run(self, step: Any, *arguments: Any) -> Metrics:
        metrics = self._strategy.run(step, arguments)
        return {name: self._strategy.reduce("MEAN", value, axis=None) for name, value in metrics.items()}

    def _next_position(self, positions: Any) -> tf.Tensor:
        """Where every worker can go on: beyond the last position that any replica was given.

        Workers take positions in turn, so the next round begins at a multiple of their number.
        """
        replicas = self._strategy.experimental_local_results(positions)
        last, workers = tf.reduce_max(tf.concat(replicas, 0)), num_workers(self._strategy)
        return (last // workers + 1) * workers
