"""Workers that restored different things are found out; two replicas of this process stand for them."""

from __future__ import annotations

import pytest

from sagan_tf.distribution import worker_agreement
from sagan_tf.distribution.worker_agreement import all_agree, on_chief
from sagan_tf.errors import UserError
from tests.training.tiny import two_replicas


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("mine", [False, True])
def test_all_agree_with_those_who_say_the_same(num_workers: int, mine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_agreement, "num_workers", lambda strategy: num_workers)
    assert all_agree(two_replicas(), mine) == mine


def test_an_error_of_the_worker_that_writes_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> int:
        raise UserError("output: full")

    strategy = two_replicas()
    assert on_chief(strategy, lambda: 3) == 3
    with pytest.raises(UserError, match="^output: full$"):
        on_chief(strategy, check)
    monkeypatch.setattr(worker_agreement, "is_chief", lambda strategy: False)
    assert on_chief(strategy, check) is None
    monkeypatch.setattr(worker_agreement, "all_agree", lambda strategy, mine: False)
    with pytest.raises(UserError, match="worker") as caught:  # whatever `check` did: it may read
        on_chief(strategy, check)
    assert "write" not in str(caught.value)
