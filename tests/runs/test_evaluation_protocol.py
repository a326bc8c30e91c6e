"""Tests of the protocol of evaluations."""

from typing import Any

from sagan_tf.runs.evaluation_protocol import get_protocol, select_training_evaluations


def make_line(step: int, **changes: Any) -> dict[str, Any]:
    line = {"kind": "evaluation", "step": step, "num_samples": {"fid10k": 10_000}, "fid10k": 1.0, "seed": 0}
    return line | {"reference": {"images": "train"}} | changes


def test_evaluations_of_training_are_marked():
    """`sagan_tf.evaluate` of another checkpoint has the same protocol."""
    first, second = (make_line(step, during_training=True) for step in (100, 200))
    assert select_training_evaluations([first, make_line(150), make_line(100, seed=7), second]) == [first, second]


def test_a_run_of_an_earlier_version_continues_with_marked_evaluations():
    lines = [
        make_line(100),
        make_line(200),
        make_line(200, seed=7),
        make_line(300, during_training=True, precision="x"),
    ]
    assert select_training_evaluations(lines) == [*lines[:2], lines[3]]


def test_without_marks_evaluations_with_the_protocol_of_the_first_are_those_of_training():
    first, second = make_line(100), make_line(200, fid10k=0.5, evaluation_labels="uniform")
    others = [
        make_line(100, seed=7),
        make_line(100, num_samples={"kid10k": 10_000}),
        make_line(200, reference={"images": "test"}),
        make_line(200, generator_weights="live"),
        {"kind": "train", "step": 200},
    ]
    assert select_training_evaluations([others[4], others[3], first, *others, second]) == [first, second]
    assert select_training_evaluations(others[3:]) == []


def test_the_protocol_has_no_metrics():
    assert get_protocol(make_line(100)) == get_protocol(make_line(200, fid10k=3.0))
