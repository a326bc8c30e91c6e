"""Tests of the check that all workers have restored the same checkpoint."""

import types
from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.training import worker_consistency
from sagan_tf.training.state import create_state
from sagan_tf.training.worker_consistency import check_worker_consistency
from tests.training.tiny import tiny_config, two_replicas


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
    with strategy.scope():
        state = create_state(tiny_config())
    check_worker_consistency(strategy, state)


@pytest.mark.parametrize(
    ("counter", "steps"), [("step", "steps 0 and 10"), ("data_position", "steps 0"), ("rollbacks", "steps 0")]
)
def test_different_counters_are_an_error(counter, steps, monkeypatch):
    monkeypatch.setattr(worker_consistency, "count_workers", lambda strategy: 2)
    with pytest.raises(UserError, match=f"^run_dir: .*{steps};"):
        check_worker_consistency(two_replicas(), make_state(**{counter: ReplicaCounter()}))
