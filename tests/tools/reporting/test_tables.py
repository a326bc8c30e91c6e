"""Test of the table of health signs; tests/tools/test_report.py reads the table of metrics on the page."""

from typing import Any

from sagan_tf.training.health import signs
from tools.reporting.tables import make_health_table


def reading(step: int, dead_units: float) -> dict[str, Any]:
    return {"step": step, "kind": "health", signs.DEAD_UNITS: dead_units}


def test_the_table_shows_the_state_of_each_sign() -> None:
    lines = [reading(step, share) for step, share in ((10, 0.8), (20, 0.1), (30, 0.8))]
    assert make_health_table([]) == []
    _, row = make_health_table(lines)  # A single reading is not a sign.
    assert "fine" in row and "--discriminator" not in row[-1]
    _, row = make_health_table([*lines, reading(40, 0.9)])
    assert row[0] == "dying discriminator" and "0.9 at step 40" in row[1] and "unhealthy since step 30" in row
    assert "--discriminator_learning_rate" in row[-1]
    assert make_health_table([{"step": 9, "kind": "train", signs.LOGIT_RANGE: 0.0}])[1][0] == "dead discriminator"
