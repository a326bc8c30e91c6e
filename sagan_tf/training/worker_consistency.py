"""Check that all workers of a run are at the same place in it."""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.distribution.strategy import num_workers
from sagan_tf.errors import UserError
from sagan_tf.training.state import TrainState


def check_worker_consistency(strategy: tf.distribute.Strategy, state: TrainState) -> None:
    """Raise UserError, on all workers, unless the run stands at the same place on each of them.

    Otherwise they would add up gradients of different weights, and nothing would show it. All workers have to call it.
    """
    if num_workers(strategy) == 1:
        return

    def place() -> tf.Tensor:
        return tf.stack([state.step.read_value(), state.data_position.read_value(), state.rollbacks.read_value()])[None]

    places = strategy.gather(strategy.run(place), axis=0).numpy().tolist()
    if any(place != places[0] for place in places):
        steps = " and ".join(str(step) for step in sorted({step for step, _, _ in places}))
        raise UserError(f"run_dir: expected storage that all workers share, received checkpoints of steps {steps}")
