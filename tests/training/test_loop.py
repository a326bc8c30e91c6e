import pytest

from sagan_tf.training.loop import Every, StepReport, run_loop


class FakeTrainer:
    """Counts steps; `lost` of them go missing in each call."""

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
    run_loop(trainer, actions, num_steps=11, intervals=[4, 3, 5])
    assert trainer.calls == [3, 1, 1, 1, 2, 1, 1, 1]  # 3 4 5 6 8 9 10 11
    assert sampled == [3, 6, 9, 11]
    assert saved == [5, 10, 11]


def test_calls_end_at_single_stops_too():
    trainer = FakeTrainer(step=3)
    run_loop(trainer, [], num_steps=12, intervals=[5], stops=(2, 4, 10, 11, 40))
    assert trainer.calls == [1, 1, 5, 1, 1]  # 4 5 10 11 12


def test_a_resumed_run_keeps_to_the_same_steps():
    trainer, sampled = FakeTrainer(step=5), []
    run_loop(trainer, [Every(4, lambda report: sampled.append(report.step))], num_steps=12, intervals=[100, 4])
    assert trainer.calls == [3, 4]
    assert sampled == [8, 12]


def test_reports_say_what_was_done_and_when_it_is_over():
    reports: list[StepReport] = []
    run_loop(FakeTrainer(), [reports.append], num_steps=5, intervals=[2])
    assert [(report.step, report.num_steps, report.last) for report in reports] == [
        (2, 2, False),
        (4, 2, False),
        (5, 1, True),
    ]
    assert reports[0].metrics == {"loss": 2.0} and reports[0].seconds >= 0


def test_nothing_is_done_beyond_the_end():
    trainer = FakeTrainer(step=5)
    run_loop(trainer, [lambda report: pytest.fail("an action ran")], num_steps=5, intervals=[2])
    assert trainer.calls == []


def test_missing_steps_are_noticed():
    with pytest.raises(RuntimeError, match="asked to reach step 2 and reached 1"):
        run_loop(FakeTrainer(lost=1), [], num_steps=4, intervals=[2])
