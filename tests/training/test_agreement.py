"""Workers that restored different things are found out; two replicas of this process stand for them."""

from __future__ import annotations

import types

import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.training import agreement
from sagan_tf.training.agreement import all_agree, check_agreement, on_chief
from sagan_tf.training.state import create_state
from tests.training.tiny import tiny_config, two_replicas


class OfReplica:
    """A counter that says something else on every replica."""

    def read_value(self) -> tf.Tensor:
        return tf.cast(10 * tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int64)


class Zero:
    def read_value(self) -> tf.Tensor:
        return tf.constant(0, tf.int64)


def state_of(**counters: object) -> object:
    return types.SimpleNamespace(**({"step": Zero(), "data_position": Zero(), "rollbacks": Zero()} | counters))


def test_one_state_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "num_workers", lambda strategy: 2)
    strategy = two_replicas()
    with strategy.scope():
        state = create_state(tiny_config())
    check_agreement(strategy, state)


@pytest.mark.parametrize(
    ("counter", "steps"), [("step", "steps 0 and 10"), ("data_position", "steps 0"), ("rollbacks", "steps 0")]
)
def test_different_ones(counter: str, steps: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "num_workers", lambda strategy: 2)
    with pytest.raises(UserError, match=f"^run_dir: expected storage that all workers share, received .* {steps}$"):
        check_agreement(two_replicas(), state_of(**{counter: OfReplica()}))


def test_a_single_worker_agrees_with_itself() -> None:
    check_agreement(two_replicas(), state_of(step=OfReplica()))


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("mine", [False, True])
def test_all_agree_with_those_who_say_the_same(num_workers: int, mine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "num_workers", lambda strategy: num_workers)
    assert all_agree(two_replicas(), mine) == mine


def test_an_error_of_the_worker_that_writes_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> int:
        raise UserError("output: full")

    strategy = two_replicas()
    assert on_chief(strategy, lambda: 3) == 3
    with pytest.raises(UserError, match="^output: full$"):
        on_chief(strategy, check)
    monkeypatch.setattr(agreement, "is_chief", lambda strategy: False)
    assert on_chief(strategy, check) is None
    monkeypatch.setattr(agreement, "all_agree", lambda strategy, mine: False)
    with pytest.raises(UserError, match="worker") as caught:  # whatever `check` did: it may read
        on_chief(strategy, check)
    assert "write" not in str(caught.value)
