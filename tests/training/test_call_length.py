"""Tests of the number of steps in a call."""

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
def test_later_calls_take_about_the_target_time(seconds_per_step, expected):
    length = CallLength(100)
    length.record(1, 94.0)
    length.record(1, seconds_per_step)
    assert length.num_steps == expected


def test_calls_become_shorter_if_steps_become_slower():
    length = CallLength(100)
    for seconds in (94.0, 1.0):
        length.record(1, seconds)
    for _ in range(20):
        length.record(length.num_steps, length.num_steps * 4.0)
    assert length.num_steps == 5


def test_all_workers_use_the_agreed_number():
    numbers: list[float] = []

    def agree(seconds: float) -> float:
        numbers.append(seconds)
        return 5.0

    length = CallLength(100, agree)
    for _ in range(50):
        length.record(1, 1.0)
    assert length.num_steps == 4
    assert numbers == [1.0] * 13  # in calls 2 to 10, then in every tenth call


def test_one_step_per_call_needs_no_agreement():
    length = CallLength(1, lambda seconds: pytest.fail("the workers exchanged a number"))
    for _ in range(5):
        length.record(1, 1.0)
    assert length.num_steps == 1
