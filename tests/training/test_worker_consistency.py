"""Tests of the checks that all workers begin with the same values."""

import types
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.training import worker_consistency
from sagan_tf.training.worker_consistency import check_equal_weights, check_worker_consistency, copy_weights_from_chief
from tests.training.tiny import PLAIN_NETWORKS, tiny_config, two_replicas
from tests.training.tiny import make_state as make_whole_state


class ReplicaCounter:
    """Counter with another value on every replica."""

    def read_value(self) -> tf.Tensor:
        return tf.cast(10 * tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int64)


class ZeroCounter:
    def read_value(self) -> tf.Tensor:
        return tf.constant(0, tf.int64)


def test_a_single_worker_is_consistent():
    check_worker_consistency(two_replicas(), make_state(step=ReplicaCounter()))


def make_state(**counters: object) -> Any:
    return types.SimpleNamespace(
        **({"step": ZeroCounter(), "data_position": ZeroCounter(), "rollbacks": ZeroCounter()} | counters)
    )


def test_equal_states_are_consistent(monkeypatch):
    monkeypatch.setattr(worker_consistency, "count_workers", lambda strategy: 2)
    strategy = two_replicas()
    state = make_whole_state(tiny_config(**PLAIN_NETWORKS), strategy)
    check_worker_consistency(strategy, state)
    check_equal_weights(strategy, state, 4)


@pytest.mark.parametrize(
    ("counter", "steps"), [("step", "steps 0 and 10"), ("data_position", "steps 0"), ("rollbacks", "steps 0")]
)
def test_different_counters_are_an_error(counter, steps, monkeypatch):
    monkeypatch.setattr(worker_consistency, "count_workers", lambda strategy: 2)
    with pytest.raises(UserError, match=f"^run_dir: .*{steps};"):
        check_worker_consistency(two_replicas(), make_state(**{counter: ReplicaCounter()}))


class ReplicaVariable:
    """Variable with another value on every replica."""

    def numpy(self) -> np.ndarray:
        return np.float32(tf.distribute.get_replica_context().replica_id_in_sync_group == 1)


@pytest.mark.parametrize("changed", ["generator", "generator_ema", "discriminator"])
def test_different_weights_are_an_error(changed, monkeypatch):
    networks = dict.fromkeys(("generator", "generator_ema", "discriminator"), types.SimpleNamespace(variables=[]))
    networks[changed] = types.SimpleNamespace(variables=[ReplicaVariable()])
    state: Any = types.SimpleNamespace(**networks)
    check_equal_weights(two_replicas(), state, 4)  # one worker
    monkeypatch.setattr(worker_consistency, "count_workers", lambda strategy: 2)
    with pytest.raises(UserError, match="^init_from: .*steps 4;.*export"):
        check_equal_weights(two_replicas(), state, 4)


def test_weights_of_the_chief_are_copied(monkeypatch):
    strategy = two_replicas()
    state = make_whole_state(tiny_config(**PLAIN_NETWORKS), strategy)
    moving = state.generator.get_layer("normalization").moving_mean

    def assign_different_values() -> None:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        moving.assign(tf.ones(moving.shape) * (5.0 + tf.cast(replica, tf.float32)))

    for workers, expected in ((1, {5.0, 6.0}), (2, {5.0})):
        monkeypatch.setattr(worker_consistency, "count_workers", lambda strategy, count=workers: count)
        strategy.run(assign_different_values)
        kernel = state.discriminator.variables[1].numpy()
        copy_weights_from_chief(strategy, state)
        values = strategy.experimental_local_results(strategy.run(lambda: tf.convert_to_tensor(moving)))
        assert {float(value[0]) for value in values} == expected
        np.testing.assert_array_equal(state.discriminator.variables[1].numpy(), kernel)
