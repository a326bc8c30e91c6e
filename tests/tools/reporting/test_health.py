from typing import Any

from sagan_tf.training.health import signs as signs
from tools.reporting.health import format_health_section


def reading(step: int, dead_units: float) -> dict[str, Any]:
    return {"step": step, "kind": "health", signs.DEAD_UNITS: dead_units}


def test_the_table_shows_the_state_of_each_sign() -> None:
    lines = [reading(step, share) for step, share in ((10, 0.8), (20, 0.1), (30, 0.8))]
    assert format_health_section([]) == ""
    page = format_health_section(lines)  # A single reading is not a sign.
    assert page.count("<tr>") == 2 and "fine" in page and "--discriminator" not in page
    page = format_health_section([*lines, reading(40, 0.9)])
    for text in ("dying discriminator", "0.9 at step 40", "unhealthy since step 30", "--discriminator_learning_rate"):
        assert text in page
    dead = {"step": 9, "kind": "train", signs.LOGIT_RANGE: 0.0}
    assert "dead discriminator" in format_health_section([dead])
