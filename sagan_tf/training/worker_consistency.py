"""Check that all workers of a run have restored the same checkpoint."""

from __future__ import annotations

import tensorflow as tf

from sagan_tf.distribution.strategy import count_workers
from sagan_tf.errors import UserError
from sagan_tf.training.state import TrainState


def check_worker_consistency(strategy: tf.distribute.Strategy, state: TrainState) -> None:
    """Check that all workers have the same counters.

    The counters are the step, the data position and the number of rollbacks. Workers with different weights would add
    up their gradients without any error. All workers have to call this.

    Args:
        strategy: The strategy of the run.
        state: The state of this worker.

    Raises:
        UserError: The counters differ. It is raised on all workers.
    """
    if count_workers(strategy) == 1:
        return

    def read_counters() -> tf.Tensor:
        return tf.stack([state.step.read_value(), state.data_position.read_value(), state.rollbacks.read_value()])[None]

    counters = strategy.gather(strategy.run(read_counters), axis=0).numpy().tolist()
    if any(row != counters[0] for row in counters):
        steps = " and ".join(str(step) for step in sorted({step for step, _, _ in counters}))
        raise UserError(
            f"run_dir: the workers restored different checkpoints, of steps {steps}; --run_dir must be on storage that "
            "all workers share"
        )
