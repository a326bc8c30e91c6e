"""Tests of the options of `sagan_tf.sample`."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sagan_tf.errors import UserError
from sagan_tf.sampling.options import MODES, SampleOptions


def options(**given: Any) -> SampleOptions:
    return SampleOptions(**{"run_dir": "run", "output": "out", **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"run_dir": ""}, "expected either --run_dir or --saved_model, received neither"),
        ({"saved_model": "model"}, "expected either --run_dir or --saved_model, received both"),
        ({"output": ""}, "output: "),
        ({"seed": -1}, "seed: expected 0 or more, received -1"),
        ({"num_samples": -1}, "num_samples: expected 0 or more, received -1"),
        ({"columns": -2}, "columns: expected 0 or more, received -2"),
        ({"standing_batches": -1}, "standing_batches: expected 0 or more, received -1"),
        ({"batch_size": 0}, "batch_size: expected 1 or more, received 0"),
        ({"logical_cpus": 0}, "logical_cpus: expected 1 or more, received 0"),
        ({"truncation": -0.5}, "truncation: expected 0 or more, received -0.5"),
        (
            {"mode": "truncation", "truncations": (1.0, -2.0)},
            "truncations: expected numbers of 0 or more, received -2.0",
        ),
        (
            {"run_dir": "", "saved_model": "model", "batch_size": 257},
            "batch_size: expected at most 256 with --saved_model, received 257",
        ),
        ({"checkpoint": "newest"}, "checkpoint: expected latest, best or a step, received 'newest'"),
    ],
)
def test_invalid_values(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        options(**given)
    assert str(caught.value).startswith(message)


def test_seeds_are_below_those_of_standing_statistics() -> None:
    assert options(seed=2**62 - 10, num_samples=10).seed == 2**62 - 10
    for given in ({"seed": 2**62}, {"seed": 2**62 - 10, "num_samples": 11}):
        with pytest.raises(UserError, match=r"^seed: expected seeds below 2\^62, received "):
            options(**given)


@pytest.mark.parametrize(
    ("given", "feature"),
    [
        ({"mode": "nearest"}, "--mode=nearest"),
        ({"mode": "attention"}, "--mode=attention"),
        ({"mode": "interpolation", "between": "classes"}, "--between=classes"),
        ({"standing_batches": 2}, "--standing_batches"),
    ],
)
def test_features_that_need_a_run(given: dict[str, Any], feature: str) -> None:
    with pytest.raises(UserError) as caught:
        options(run_dir="", saved_model="model", **given)
    assert str(caught.value).startswith("saved_model: ") and feature in str(caught.value)
    assert options(**given).run_dir == "run"


def test_all_further_modes_accept_an_export() -> None:
    for mode in set(MODES) - {"nearest", "attention"}:
        assert options(run_dir="", saved_model="model", mode=mode).saved_model == "model"


@pytest.mark.parametrize(("shard", "expected"), [("", (0, 1)), ("1/1", (0, 1)), ("1/4", (0, 4)), ("4/4", (3, 4))])
def test_shards(shard: str, expected: tuple[int, int]) -> None:
    assert options(mode="images", shard=shard).parse_shard() == expected


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1", "1/", "/4", "-1/4", "1/4/2", "a/b", "1.0/4", " 1/4"])
def test_invalid_shards(shard: str) -> None:
    with pytest.raises(UserError, match=f"^shard: .*{shard!r}"):
        options(mode="images", shard=shard)


def test_truncation_as_a_number() -> None:
    assert options().get_threshold() == math.inf
    assert options(truncation=0.0).get_threshold() == 0.0
    assert options(truncation=0.7).get_threshold() == 0.7


def test_checkpoints() -> None:
    for checkpoint in ("latest", "best", "0", "1000"):
        assert options(checkpoint=checkpoint).checkpoint == checkpoint
