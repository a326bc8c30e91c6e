import json
import pathlib

import pytest

from tools.benchmarks.training_time import compute_training_seconds, read_records


def write_run(
    directory: pathlib.Path, speeds: dict[int, float], resumed: int | None = None
) -> tuple[pathlib.Path, ...]:
    """Write a record for each step, with the speed of the steps before it."""
    lines = [{"step": step, "kind": "train", "steps_per_second": speed} for step, speed in speeds.items()]
    lines.insert(1, {"step": 10, "kind": "evaluation"})
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (directory / "log").write_text("step 10\n" + (f"resumed at step {resumed}\n" if resumed is not None else ""))
    return directory, directory / "log"


@pytest.mark.parametrize(
    ("speeds", "resumed", "expected"),
    [
        ({10: 0.1, 20: 2.0, 30: 5.0}, None, 5 + 5 + 2),  # The first steps count with the speed of the next.
        ({10: 0.1, 20: 2.0, 30: 0.2, 40: 5.0}, 20, 5 + 5 + 2 + 2),
        ({10: 0.1, 20: 2.0, 30: 0.2, 40: 5.0}, 25, 5 + 5 + 2 + 2),  # The run was saved between two records.
        ({10: 0.1}, None, 0),
    ],
)
def test_training_seconds_exclude_tracing(speeds, resumed, expected, tmp_path):
    assert compute_training_seconds(*write_run(tmp_path, speeds, resumed)) == pytest.approx(expected)


def test_missing_files_and_incomplete_lines(tmp_path):
    assert compute_training_seconds(tmp_path / "absent", tmp_path / "absent.log") == 0
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "ki')
    assert read_records(tmp_path) == [{"step": 1}]
