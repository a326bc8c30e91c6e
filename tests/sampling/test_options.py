"""Tests of the options of `sagan_tf.sample`."""

import math

import pytest

from sagan_tf.errors import UserError
from sagan_tf.sampling.options import MODES
from tests.sampling.tiny_generator import make_sample_options as options


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"run_dir": ""}, ".*--saved_model.*neither"),
        ({"saved_model": "model"}, ".*--saved_model.*both"),
        ({"output": ""}, "output: "),
        *(({name: -1}, f"{name}: .*-1") for name in ("seed", "num_samples", "columns", "standing_batches")),
        *(({name: 0}, f"{name}: .*0") for name in ("batch_size", "logical_cpus")),
        ({"truncation": -0.5}, "truncation: .*-0.5"),
        ({"mode": "truncation", "truncations": (1.0, -2.0)}, "truncations: .*-2.0"),
        ({"run_dir": "", "saved_model": "model", "batch_size": 257}, "batch_size: .*257"),
        ({"mode": "truncation", "standing_batches": 2}, "standing_batches: .*2"),
        ({"checkpoint": "newest"}, "checkpoint: .*'newest'"),
    ],
)
def test_invalid_values(given, message):
    with pytest.raises(UserError, match=f"^{message}"):
        options(**given)


def test_seeds_are_below_those_of_standing_statistics():
    assert options(seed=2**62 - 10, num_samples=10).seed == 2**62 - 10
    for given in ({"seed": 2**62}, {"seed": 2**62 - 10, "num_samples": 11}):
        with pytest.raises(UserError, match=r"^seed: expected seeds below 2\^62, received "):
            options(**given)


RUN_ONLY = ({"mode": "nearest"}, {"mode": "attention"}, {"mode": "interpolation", "between": "classes"})


@pytest.mark.parametrize("given", [*RUN_ONLY, {"standing_batches": 2}])
def test_features_that_need_a_run(given):
    with pytest.raises(UserError, match=f"^saved_model: --{list(given)[-1]}"):
        options(run_dir="", saved_model="model", **given)
    assert options(**given).run_dir == "run"


def test_all_further_modes_accept_an_export():
    for mode in set(MODES) - {"nearest", "attention"}:
        assert options(run_dir="", saved_model="model", mode=mode).saved_model == "model"


@pytest.mark.parametrize(("shard", "expected"), [("", (0, 1)), ("1/1", (0, 1)), ("1/4", (0, 4)), ("4/4", (3, 4))])
def test_shards(shard, expected):
    assert options(mode="images", shard=shard).parse_shard() == expected


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1", "1/", "/4", "-1/4", "1/4/2", "a/b", "1.0/4", " 1/4"])
def test_invalid_shards(shard):
    with pytest.raises(UserError, match=f"^shard: .*{shard!r}"):
        options(mode="images", shard=shard)


def test_truncation_as_a_number():
    assert options().get_threshold() == math.inf
    assert options(truncation=0.0).get_threshold() == 0.0
    assert options(truncation=0.7).get_threshold() == 0.7
