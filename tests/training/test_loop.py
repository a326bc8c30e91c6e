"""Tests of the outer loop."""

import pytest

from sagan_tf.training.actions.schedule import Every, StepReport
from sagan_tf.training.call_length import CallLength
from sagan_tf.training.loop import run_loop


class FakeTrainer:
    """Trainer that counts steps, and does `lost` steps too few in each call."""

    def __init__(self, step: int = 0, lost: int = 0) -> None:
        self.step = step
        self.calls: list[int] = []
        self._lost = lost

    def train(self, num_steps: int) -> dict[str, float]:
        self.calls.append(num_steps)
        self.step += num_steps - self._lost
        return {"loss": float(self.step)}


def test_calls_end_at_multiples_of_every_interval():
    trainer, sampled, saved = FakeTrainer(), [], []
    actions = [Every(3, lambda report: sampled.append(report.step)), Every(5, lambda report: saved.append(report.step))]
    run_loop(trainer, actions, num_steps=11, interval=4)
    assert trainer.calls == [3, 1, 1, 1, 2, 1, 1, 1]  # 3 4 5 6 8 9 10 11
    assert sampled == [3, 6, 9, 11]
    assert saved == [5, 10, 11]


class At:
    def __init__(self, steps: tuple[int, ...]) -> None:
        self._steps = steps

    def next_step(self, step: int) -> int | None:
        return next((scheduled for scheduled in self._steps if scheduled > step), None)

    def __call__(self, report: StepReport) -> None:
        pass


def test_calls_end_at_single_scheduled_steps():
    trainer = FakeTrainer(step=3)
    run_loop(trainer, [At((2, 4, 10, 11, 40))], num_steps=12, interval=5)
    assert trainer.calls == [1, 1, 5, 1, 1]  # 4 5 10 11 12


def test_a_resumed_run_has_the_same_steps():
    trainer, sampled = FakeTrainer(step=5), []
    run_loop(trainer, [Every(4, lambda report: sampled.append(report.step))], num_steps=12, interval=100)
    assert trainer.calls == [3, 4]
    assert sampled == [8, 12]


def test_reports_have_the_steps_and_the_end_of_the_run():
    reports: list[StepReport] = []
    run_loop(FakeTrainer(), [reports.append], num_steps=5, interval=2)
    assert [(report.step, report.num_steps, report.last) for report in reports] == [
        (2, 2, False),
        (4, 2, False),
        (5, 1, True),
    ]
    assert reports[0].metrics == {"loss": 2.0} and reports[0].seconds >= 0


def test_a_finished_run_does_nothing():
    trainer = FakeTrainer(step=5)
    run_loop(trainer, [lambda report: pytest.fail("an action ran")], num_steps=5, interval=2)
    assert trainer.calls == []


def test_missing_steps_are_an_error():
    with pytest.raises(RuntimeError, match="step 2.*step 1"):
        run_loop(FakeTrainer(lost=1), [], num_steps=4, interval=2)


class SlowTrainer(FakeTrainer):
    """Trainer whose steps take 7 seconds of a fake clock; the first call takes 60 seconds more."""

    seconds = 0.0

    def train(self, num_steps: int) -> dict[str, float]:
        self.seconds += 7.0 * num_steps + (0.0 if self.calls else 60.0)
        first = self.step + 1
        super().train(num_steps)
        return {"loss": (first + self.step) / 2}


def test_a_slow_segment_is_split_into_calls_with_one_report(monkeypatch):
    trainer = SlowTrainer()
    monkeypatch.setattr("sagan_tf.training.loop.time.monotonic", lambda: trainer.seconds)
    between: list[StepReport] = []
    reports: list[StepReport] = []
    run_loop(
        trainer,
        [reports.append],
        num_steps=20,
        interval=10,
        call_length=CallLength(100),
        actions_between_calls=[between.append],
    )
    assert trainer.calls == [1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    assert [(report.step, report.num_steps, report.seconds) for report in reports] == [(10, 10, 130.0), (20, 10, 70.0)]
    assert [report.metrics["loss"] for report in reports] == [5.5, 15.5]  # means of the steps 1 to 10 and 11 to 20
    assert [report.step for report in between] == [1, 2, 4, 6, 8, 12, 14, 16, 18]
    assert max(report.seconds for report in between[1:]) <= 20.0
    assert [report.last for report in reports] == [False, True]
