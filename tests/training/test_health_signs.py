"""Every sign: scalars of a healthy run do not show it, and scalars that differ in one way do."""

from __future__ import annotations

import re

import pytest

from sagan_tf.config import option_fields
from sagan_tf.training import health_signs as signs
from sagan_tf.training.health_signs import SIGNS

HEALTHY = {
    "generator_gradient_norm": 2.6,
    "real_logits": 0.5,
    "fake_logits": -0.3,
    signs.LATENT_RANK_SHARE: 0.5,
    signs.DISTANCE_RATIO: 0.9,
    signs.DEAD_UNITS: 0.2,
    signs.LOGIT_DEVIATION: 1.0,
    signs.LOGIT_GAP: 0.8,
    signs.SEPARATION: 0.8,
    signs.LOSS: 1.4,
    signs.OVERFITTING: 0.1,
}
UNHEALTHY = {
    "dead discriminator": {"generator_gradient_norm": 0.0, "real_logits": -0.3},
    "dying discriminator": {signs.DEAD_UNITS: 0.8},
    "constant logits": {signs.LOGIT_DEVIATION: 0.003},
    "weak discriminator": {signs.LOGIT_GAP: -0.01},
    "winning discriminator": {signs.SEPARATION: 1.0, signs.LOGIT_GAP: 5.0, signs.LOSS: 0.0},
    "overfitting discriminator": {signs.OVERFITTING: 0.9},
    "few latent directions": {signs.LATENT_RANK_SHARE: 3.7 / 128},
    "similar samples": {signs.DISTANCE_RATIO: 0.3},
}


def shown(values: dict[str, float]) -> list[str]:
    return [name for name, sign in SIGNS.items() if sign.judge(values)]


def test_a_healthy_run_shows_no_sign() -> None:
    assert shown(HEALTHY) == []
    assert all(sign.judge(HEALTHY) is False for sign in SIGNS.values())


@pytest.mark.parametrize("name", SIGNS)
def test_scalars_that_show_one_sign(name: str) -> None:
    assert shown(HEALTHY | UNHEALTHY[name]) == [name]
    assert SIGNS[name].judge({}) is None and SIGNS[name].judge(dict.fromkeys(HEALTHY)) is None


@pytest.mark.parametrize("values", [{signs.SEPARATION: 1.0, signs.LOGIT_GAP: 7.0}, {signs.SEPARATION: 1.0}], ids=str)
def test_a_discriminator_that_leads_has_not_won(values: dict[str, float]) -> None:
    assert shown(HEALTHY | values) == []


def test_advice_names_flags_that_exist() -> None:
    flags = {flag for sign in SIGNS.values() for flag in re.findall(r"--(\w+)", sign.advice)}
    assert flags and flags <= option_fields().keys()
