"""Tests of the two updates of a step; test_trainer.py compares whole steps with an oracle."""

import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny import (
    PLAIN_NETWORKS,
    PLAINEST_NETWORKS,
    find_differences,
    make_real_batch,
    make_updates,
    read_values,
    run_in_replica,
    tiny_config,
)

DRAW = tf.constant(0, tf.int64)


def test_networks_share_no_variable():
    state = make_updates(tiny_config()).state
    networks = (state.generator, state.discriminator, state.generator_ema)
    owned = [id(variable) for network in networks for variable in network.variables]
    assert len(owned) == len(set(owned))


@pytest.mark.parametrize(
    ("network", "other", "endings"),
    [
        ("discriminator", "generator", ("/u", "kernel", "embeddings")),
        ("generator", "discriminator", ("/u", "kernel", "moving_mean", "moving_variance")),
    ],
)
def test_an_update_changes_only_its_network(network, other, endings):
    config = tiny_config(**PLAIN_NETWORKS)
    updates = make_updates(config)
    unchanged = [getattr(updates.state, name) for name in (other, "generator_ema", f"{other}_optimizer")]
    before, initial = [read_values(part) for part in unchanged], read_values(getattr(updates.state, network))
    run_in_replica(getattr(updates, f"{network}_step"), *make_real_batch(config), DRAW)
    for part, values in zip(unchanged, before, strict=True):
        assert find_differences(values, read_values(part)) == set()
    moved = find_differences(initial, read_values(getattr(updates.state, network)))
    assert {name for name in initial if name.endswith(endings)} <= moved


@pytest.mark.parametrize("conditioning", ["none", "auxiliary_classifier"])
def test_every_conditioning_trains(conditioning):
    config = tiny_config(conditioning=conditioning, **PLAINEST_NETWORKS)
    updates = make_updates(config)
    metrics = run_in_replica(updates.discriminator_step, *make_real_batch(config), DRAW)
    metrics |= run_in_replica(updates.generator_step, *make_real_batch(config), DRAW)
    assert np.isfinite([float(value) for value in metrics.values()]).all()
