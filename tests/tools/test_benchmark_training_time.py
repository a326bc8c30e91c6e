import json
import pathlib

import pytest

from tools.benchmarks.training_time import read_records, seconds_of_training


def write_run(
    directory: pathlib.Path, speeds: dict[int, float], resumed: int | None = None
) -> tuple[pathlib.Path, ...]:
    """Write a record for each step, with the speed of the steps that it is of."""
    lines = [{"step": step, "kind": "train", "steps_per_second": speed} for step, speed in speeds.items()]
    lines.insert(1, {"step": 10, "kind": "evaluation"})
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (directory / "log").write_text("step 10\n" + (f"resumed at step {resumed}\n" if resumed is not None else ""))
    return directory, directory / "log"


@pytest.mark.parametrize(
    "speeds, resumed, expected",
    [
        ({10: 0.1, 20: 2.0, 30: 5.0}, None, 5 + 5 + 2),  # the first steps at the speed of the next
        ({10: 0.1, 20: 2.0, 30: 0.2, 40: 5.0}, 20, 5 + 5 + 2 + 2),
        ({10: 0.1, 20: 2.0, 30: 0.2, 40: 5.0}, 25, 5 + 5 + 2 + 2),  # saved between two records
        ({10: 0.1}, None, 0),
    ],
)
def test_seconds_without_tracing(speeds, resumed, expected, tmp_path):
    assert seconds_of_training(*write_run(tmp_path, speeds, resumed)) == pytest.approx(expected)


def test_a_run_that_has_not_begun_and_a_line_that_is_being_written(tmp_path):
    assert seconds_of_training(tmp_path / "absent", tmp_path / "absent.log") == 0
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "ki')
    assert read_records(tmp_path) == [{"step": 1}]
