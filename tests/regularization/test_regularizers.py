"""All regularizers at once, in training."""

import pathlib
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import RegularizationConfig
from sagan_tf.regularization import REGULARIZERS, create_regularizers
from tests.regularization.batches import discriminator_batch, images
from tests.training.tiny import (
    NETWORK_OPTIONS,
    PLAIN_NETWORKS,
    all_values,
    differences,
    make_trainer,
    make_updates,
    one_device,
    tiny_config,
    two_replicas,
)

NAMES = [name for entries in REGULARIZERS.values() for name in entries]
ALL = {**PLAIN_NETWORKS, **dict.fromkeys(NAMES, 0.01)}
ALL |= {"gradient_penalty_final_fraction": 0.1, "gradient_penalty_anneal_steps": 3}
ALL |= {"learning_rate_schedule": "linear", "learning_rate_decay_steps": 9, "ema_half_life_images": 50}


def sgd() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.002, name="sgd")


def test_each_is_made_where_its_weight_is_above_0():
    updates = make_updates(tiny_config(**ALL))
    for network, entries in REGULARIZERS.items():
        assert create_regularizers(network, RegularizationConfig(), updates.state) == ()
        for name in entries:
            (regularizer,) = create_regularizers(network, RegularizationConfig(**{name: 0.5}), updates.state)
            assert set(regularizer.metrics) <= set(getattr(updates, f"{network}_metrics"))


@pytest.mark.parametrize("kind", ["real", "fake"])
def test_gradient_penalties_are_annealed_by_the_step(kind: str):
    name = {"real": "r1_weight", "fake": "r2_weight"}[kind]
    config = RegularizationConfig(**{name: 2.0}, gradient_penalty_final_fraction=0.1, gradient_penalty_anneal_steps=3)
    state = types.SimpleNamespace(step=tf.Variable(0, dtype=tf.int64))
    (regularizer,) = create_regularizers("discriminator", config, state)
    batch = discriminator_batch(**{f"{kind}_gradients": images(2)})
    first, _ = regularizer(batch)
    state.step.assign(3)
    assert float(first) > 0 and float(regularizer(batch)[0]) == pytest.approx(0.1 * float(first))


@pytest.mark.parametrize("networks", [{}, NETWORK_OPTIONS], ids=["plain", "network_options"])
def test_two_replicas_equal_one(networks: dict[str, object]):
    config = tiny_config(synchronized_batch_norm=True, loss="relativistic", **ALL, **networks)
    trainers = [make_trainer(config, strategy, sgd) for strategy in (one_device(), two_replicas())]
    metrics = [trainer.train(2) for trainer in trainers]
    assert metrics[0]["lecam_penalty"] > 0 and metrics[0]["latent_diversity"] > 0
    for name in metrics[0]:
        if "norm" not in name:
            assert metrics[1][name] == pytest.approx(metrics[0][name], abs=1e-4, rel=1e-2), name
    values = [all_values(trainer.state) for trainer in trainers]
    for name, value in values[0].items():
        np.testing.assert_allclose(values[1][name], value, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    "options",
    [{"generator_top_k": 0.5, "precision": "mixed_bfloat16"}, {"loss": "relativistic", **NETWORK_OPTIONS}],
    ids=["top_k", "network_options"],
)
def test_a_run_goes_on_in_the_same_bits(options: dict[str, object], tmp_path: pathlib.Path):
    config = tiny_config(gradient_accumulation_steps=2, **ALL, **options)
    whole = make_trainer(config, one_device())
    whole.train(2)
    path = tf.train.Checkpoint(state=whole.state).write(str(tmp_path / "state"))
    metrics = whole.train(2)
    assert np.isfinite(list(metrics.values())).all()
    second = make_trainer(config, one_device(), position=2 * 4)
    tf.train.Checkpoint(state=second.state).read(path).assert_consumed()
    second.train(2)
    assert differences(all_values(whole.state), all_values(second.state)) == set()
