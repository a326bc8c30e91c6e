"""Tests of the signs with the scalars of healthy and unhealthy runs."""

import re

import pytest

from sagan_tf.config import get_option_fields
from sagan_tf.training.health import signs
from sagan_tf.training.health.signs import SIGNS

HEALTHY = {
    signs.LOGIT_RANGE: 3.1,
    signs.LATENT_RANK_SHARE: 0.5,
    signs.DISTANCE_RATIO: 0.9,
    signs.DEAD_UNITS: 0.2,
    signs.LOGIT_DEVIATION: 1.0,
    signs.LOGIT_GAP: 0.8,
    signs.SEPARATION: 0.8,
    signs.LOSS_SHARE: 0.7,
    signs.OVERFITTING: 0.1,
}
UNHEALTHY = {
    "dead discriminator": {signs.LOGIT_RANGE: 0.0},
    "dying discriminator": {signs.DEAD_UNITS: 0.8},
    "constant logits": {signs.LOGIT_DEVIATION: 0.003},
    "weak discriminator": {signs.LOGIT_GAP: -0.8},
    "winning discriminator": {signs.SEPARATION: 1.0, signs.LOSS_SHARE: 0.01},
    "overfitting discriminator": {signs.OVERFITTING: 0.9},
    "few latent directions": {signs.LATENT_RANK_SHARE: 3.7 / 128},
    "similar samples": {signs.DISTANCE_RATIO: 0.3},
}


def find_shown(values: dict[str, float]) -> list[str]:
    return [name for name, sign in SIGNS.items() if sign.check(values)]


def test_a_healthy_run_shows_no_sign():
    assert find_shown(HEALTHY) == []
    assert all(sign.check(HEALTHY) is False for sign in SIGNS.values())


@pytest.mark.parametrize("name", SIGNS)
def test_unhealthy_scalars_show_one_sign(name):
    assert find_shown(HEALTHY | UNHEALTHY[name]) == [name]
    assert SIGNS[name].check({}) is None and SIGNS[name].check(dict.fromkeys(HEALTHY)) is None


@pytest.mark.parametrize("values", [{signs.SEPARATION: 1.0, signs.LOGIT_GAP: 7.0}, {signs.LOSS_SHARE: 0.01}], ids=str)
def test_a_leading_discriminator_has_not_won(values):
    assert find_shown(HEALTHY | values) == []


@pytest.mark.parametrize(
    ("scalar", "healthy", "unhealthy"),
    [
        (signs.OVERFITTING, [0.18, 0.62, 0.75], [0.85, 0.96]),  # docs/results/few_images.md
        # docs/results/dead_discriminator.md
        (signs.LATENT_RANK_SHARE, [0.11, 0.16, 0.23], [0.02]),
        (signs.DISTANCE_RATIO, [0.52, 1.34], []),
        (signs.DEAD_UNITS, [0.22], [0.75]),
    ],
)
def test_limits_separate_the_measured_runs(scalar, healthy, unhealthy):
    (sign,) = (sign for sign in SIGNS.values() if sign.scalar == scalar)
    assert not any(sign.check({scalar: value}) for value in healthy)
    assert all(sign.check({scalar: value}) for value in unhealthy)


def find_flags(text: str) -> set[str]:
    return set(re.findall(r"--(\w+)", text))


def test_advice_has_existing_flags():
    flags = set().union(*(find_flags(sign.advice) for sign in SIGNS.values()))
    assert flags and flags <= get_option_fields().keys()


@pytest.mark.parametrize("name", SIGNS)
def test_advice_with_unchangeable_flags_is_for_a_new_run(name):
    options = {flag: get_option_fields()[flag][1].metadata["changeable"] for flag in find_flags(SIGNS[name].advice)}
    assert all(options.values()) or "run_dir" in options
