"""What the flags of `sagan_tf.sample` refuse, and the shards that they name."""

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
        ({"output": ""}, "output: expected where to write, received none"),
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
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        options(**given)
    assert str(caught.value) == message


def test_seeds_end_where_those_of_standing_statistics_begin() -> None:
    assert options(seed=2**62 - 10, num_samples=10).seed == 2**62 - 10
    for given in ({"seed": 2**62}, {"seed": 2**62 - 10, "num_samples": 11}):
        with pytest.raises(UserError, match=r"^seed: expected seeds below 2\^62, received "):
            options(**given)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"mode": "nearest"}, "mode nearest"),
        ({"mode": "attention"}, "mode attention"),
        ({"mode": "interpolation", "between": "classes"}, "interpolation between classes"),
        ({"standing_batches": 2}, "standing_batches"),
    ],
)
def test_an_export_does_less_than_a_run(given: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError) as caught:
        options(run_dir="", saved_model="model", **given)
    expected = f"saved_model: expected --run_dir for {what}, which needs more than an export has"
    assert str(caught.value) == expected
    assert options(**given).run_dir == "run"


def test_an_export_does_the_rest() -> None:
    for mode in set(MODES) - {"nearest", "attention"}:
        assert options(run_dir="", saved_model="model", mode=mode).saved_model == "model"


@pytest.mark.parametrize(("shard", "expected"), [("", (0, 1)), ("1/1", (0, 1)), ("1/4", (0, 4)), ("4/4", (3, 4))])
def test_shards(shard: str, expected: tuple[int, int]) -> None:
    assert options(mode="images", shard=shard).part_and_parts() == expected


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1", "1/", "/4", "-1/4", "1/4/2", "a/b", "1.0/4", " 1/4"])
def test_shards_that_are_none(shard: str) -> None:
    with pytest.raises(UserError) as caught:
        options(mode="images", shard=shard)
    assert str(caught.value) == f"shard: expected I/N with I from 1 to N, such as 1/4, or worker, received {shard!r}"


def test_truncation_as_a_number() -> None:
    assert options().threshold() == math.inf
    assert options(truncation=0.0).threshold() == 0.0
    assert options(truncation=0.7).threshold() == 0.7


def test_checkpoints() -> None:
    for checkpoint in ("latest", "best", "0", "1000"):
        assert options(checkpoint=checkpoint).checkpoint == checkpoint
