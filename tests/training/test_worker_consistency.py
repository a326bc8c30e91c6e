"""Workers at different places of a run are an error."""

from __future__ import annotations

import types

import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.training import worker_consistency
from sagan_tf.training.state import create_state
from sagan_tf.training.worker_consistency import check_worker_consistency
from tests.training.tiny import tiny_config, two_replicas


class OfReplica:
    """A counter that says something else on every replica."""

    def read_value(self) -> tf.Tensor:
        return tf.cast(10 * tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int64)


class Zero:
    def read_value(self) -> tf.Tensor:
        return tf.constant(0, tf.int64)


def test_a_single_worker_agrees_with_itself() -> None:
    check_worker_consistency(two_replicas(), state_of(step=OfReplica()))


def state_of(**counters: object) -> object:
    return types.SimpleNamespace(**({"step": Zero(), "data_position": Zero(), "rollbacks": Zero()} | counters))


def test_one_state_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_consistency, "num_workers", lambda strategy: 2)
    strategy = two_replicas()
    with strategy.scope():
        state = create_state(tiny_config())
    check_worker_consistency(strategy, state)


@pytest.mark.parametrize(
    ("counter", "steps"), [("step", "steps 0 and 10"), ("data_position", "steps 0"), ("rollbacks", "steps 0")]
)
def test_different_ones(counter: str, steps: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_consistency, "num_workers", lambda strategy: 2)
    with pytest.raises(UserError, match=f"^run_dir: expected storage that all workers share, received .* {steps}$"):
        check_worker_consistency(two_replicas(), state_of(**{counter: OfReplica()}))
