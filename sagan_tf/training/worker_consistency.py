"""Checks that all workers of a run begin with the same values."""

from __future__ import annotations

import hashlib

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


def copy_weights_from_chief(strategy: tf.distribute.Strategy, state: TrainState) -> None:
    """Assign the networks of the chief worker to all workers.

    All workers have to call this.

    Args:
        strategy: The strategy of the run.
        state: The state of this worker.
    """
    if count_workers(strategy) == 1:
        return
    for network in (state.generator, state.generator_ema, state.discriminator):
        for variable in network.variables:
            rows = strategy.gather(strategy.run(lambda value=variable: tf.convert_to_tensor(value)[None]), axis=0)
            with strategy.scope():
                variable.assign(rows[0])


def check_equal_weights(strategy: tf.distribute.Strategy, state: TrainState, source_step: int) -> None:
    """Check that all workers have started with the same weights of `--init_from`.

    All workers have to call this.

    Args:
        strategy: The strategy of the run.
        state: The state of this worker.
        source_step: The step of the weights that this worker has read.

    Raises:
        UserError: The steps or the weights differ. It is raised on all workers.
    """
    if count_workers(strategy) == 1:
        return

    def compute_digest() -> tf.Tensor:
        digest = hashlib.blake2b(digest_size=8)
        for network in (state.generator, state.generator_ema, state.discriminator):
            for variable in network.variables:
                digest.update(variable.numpy().tobytes())
        return tf.constant([[source_step, int.from_bytes(digest.digest(), "big", signed=True)]], tf.int64)

    rows = strategy.gather(strategy.run(compute_digest), axis=0).numpy().tolist()
    if any(row != rows[0] for row in rows):
        steps = " and ".join(str(step) for step in sorted({step for step, _ in rows}))
        raise UserError(
            f"init_from: the workers read different weights, of steps {steps}; --init_from must name the same "
            "checkpoint or export on all workers, such as RUN/checkpoints/step-100 on storage that all workers share"
        )
