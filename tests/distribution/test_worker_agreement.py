"""Tests of the agreement of several workers, which two replicas of this process represent."""

import pytest

from sagan_tf.distribution import worker_agreement
from sagan_tf.distribution.worker_agreement import is_true_on_all_workers, run_on_all_workers, run_on_chief
from sagan_tf.errors import UserError
from tests.training.tiny import two_replicas


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("value", [False, True])
def test_equal_values_on_all_workers(num_workers: int, value: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_agreement, "count_workers", lambda strategy: num_workers)
    assert is_true_on_all_workers(two_replicas(), value) == value


def test_error_of_the_chief_ends_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> int:
        raise UserError("output: full")

    strategy = two_replicas()
    assert run_on_chief(strategy, lambda: 3) == 3
    with pytest.raises(UserError, match="^output: full$"):
        run_on_chief(strategy, check)
    monkeypatch.setattr(worker_agreement, "is_chief", lambda strategy: False)
    assert run_on_chief(strategy, check) is None
    monkeypatch.setattr(worker_agreement, "is_true_on_all_workers", lambda strategy, value: False)
    with pytest.raises(UserError, match="worker") as caught:  # The message must not say what `check` does.
        run_on_chief(strategy, check)
    assert "write" not in str(caught.value)


def test_error_of_one_worker_ends_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    agreed: list[bool] = []

    def fail() -> int:
        raise UserError("init_from: absent")

    def disagree(strategy: object, value: bool) -> bool:
        agreed.append(value)
        return False

    assert run_on_all_workers(two_replicas(), lambda: 3) == 3
    monkeypatch.setattr(worker_agreement, "is_chief", lambda strategy: False)
    monkeypatch.setattr(worker_agreement, "is_true_on_all_workers", disagree)
    for function, message in ((fail, "^init_from: absent$"), (lambda: 3, "another worker")):
        with pytest.raises(UserError, match=message):
            run_on_all_workers(two_replicas(), function)
    assert agreed == [False, True]  # a worker tells the others of its error before it ends
