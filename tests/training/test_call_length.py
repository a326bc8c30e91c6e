import pytest

from sagan_tf.training.call_length import TARGET_SECONDS, CallLength


def test_the_first_two_calls_are_one_step_each():
    length = CallLength(100)
    assert length.num_steps == 1
    length.record(1, 94.0)  # tracing
    assert length.num_steps == 1


@pytest.mark.parametrize(
    ("seconds_per_step", "expected"), [(7.0, 2), (0.5, 40), (0.01, 100), (300.0, 1), (0.0, 100), (TARGET_SECONDS, 1)]
)
def test_later_calls_take_about_twenty_seconds(seconds_per_step: float, expected: int):
    length = CallLength(100)
    length.record(1, 94.0)
    length.record(1, seconds_per_step)
    assert length.num_steps == expected


def test_the_length_follows_a_step_that_becomes_slower():
    length = CallLength(100)
    for seconds in (94.0, 1.0):
        length.record(1, seconds)
    for _ in range(20):
        length.record(length.num_steps, length.num_steps * 4.0)
    assert length.num_steps == 5


def test_all_workers_go_by_the_number_that_they_agree_on():
    numbers: list[float] = []

    def agree(mine: float) -> float:
        numbers.append(mine)
        return 5.0

    length = CallLength(100, agree)
    for _ in range(50):
        length.record(1, 1.0)
    assert length.num_steps == 4
    assert numbers == [1.0] * 13  # of calls 2 to 10, then of each tenth


def test_one_step_a_call_needs_no_agreement():
    length = CallLength(1, lambda mine: pytest.fail("the workers were asked"))
    for _ in range(5):
        length.record(1, 1.0)
    assert length.num_steps == 1
