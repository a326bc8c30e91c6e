"""Training with all regularizers."""

import dataclasses
import pathlib
import types
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import RegularizationConfig
from sagan_tf.regularization import REGULARIZERS, Regularizer, create_regularizers
from sagan_tf.training.health.signs import LOGIT_RANGE
from sagan_tf.training.state import TrainState
from tests.regularization.batches import discriminator_batch, make_images
from tests.training.tiny import (
    NETWORK_OPTIONS,
    PLAINEST_NETWORKS,
    find_differences,
    make_real_batch,
    make_trainer,
    make_updates,
    one_device,
    read_all_values,
    read_values,
    run_in_replica,
    tiny_config,
    two_replicas,
)

WEIGHTS = {
    "r1_weight": 2.0,
    "r2_weight": 1.0,
    "lecam_weight": 0.05,
    "class_margin_weight": 0.5,
    "consistency_weight": 1.2,
    "fake_consistency_weight": 0.4,
    "latent_consistency_weight": 1.0,
    "orthogonal_regularization": 0.5,
    "latent_diversity_weight": 15.0,
}
"""Weights with which each term changes a variable by more than 100 * `TOLERANCE` in one update by `sgd`."""
TOLERANCE = 1e-4
ALL = {**PLAINEST_NETWORKS, **WEIGHTS, "latent_noise": 1.0}
ALL |= {"gradient_penalty_final_fraction": 0.1, "gradient_penalty_anneal_steps": 3}
ALL |= {"learning_rate_schedule": "linear", "learning_rate_decay_steps": 9, "ema_half_life_images": 50}


class SwitchableRegularizer(Regularizer):
    """A regularizer whose term can be left out without tracing the update again."""

    def __init__(self, regularizer: Regularizer) -> None:
        self._regularizer, self.metrics = regularizer, regularizer.metrics
        self.factor = tf.Variable(1.0)

    def __call__(self, batch: Any) -> Any:
        term, metrics = self._regularizer(batch)
        return self.factor * term, metrics


def sgd() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.02, name="sgd")


def set_averages(state: TrainState) -> None:
    """Set the averages of LeCam, so that it has an effect in the first update."""
    assert state.logit_averages is not None
    for variable, value in zip(state.logit_averages.variables, (-0.5, 0.5, 1), strict=True):
        variable.assign(value)


def test_regularizers_with_positive_weights_are_created():
    updates = make_updates(tiny_config(**ALL))
    for network, entries in REGULARIZERS.items():
        assert create_regularizers(network, RegularizationConfig(), updates.state) == ()
        for name in entries:
            config = tiny_config(**{name: 0.5}).regularization
            (regularizer,) = create_regularizers(network, config, updates.state)
            assert set(regularizer.metrics) <= set(getattr(updates, f"{network}_metrics"))


@pytest.mark.parametrize("kind", ["real", "fake"])
def test_gradient_penalties_are_annealed(kind: str):
    name = {"real": "r1_weight", "fake": "r2_weight"}[kind]
    options: dict[str, Any] = {name: 2.0, "gradient_penalty_final_fraction": 0.1, "gradient_penalty_anneal_steps": 3}
    config = RegularizationConfig(**options)
    state = types.SimpleNamespace(step=tf.Variable(0, dtype=tf.int64))
    (regularizer,) = create_regularizers("discriminator", config, state)
    batch = discriminator_batch(**{f"{kind}_gradients": make_images(2)})
    first, _ = regularizer(batch)
    state.step.assign(3)
    assert float(first) > 0 and float(regularizer(batch)[0]) == pytest.approx(0.1 * float(first))


@pytest.mark.parametrize("network", REGULARIZERS)
def test_effect_of_each_regularizer_is_larger_than_the_tolerance(network: str):
    assert WEIGHTS.keys() == {name for entries in REGULARIZERS.values() for name in entries}
    config = tiny_config(synchronized_batch_norm=True, loss="relativistic", **ALL)
    updates = make_updates(config, sgd)
    set_averages(updates.state)
    switched = [SwitchableRegularizer(regularizer) for regularizer in getattr(updates, f"{network}_regularizers")]
    changed: dict[str, Any] = {f"{network}_regularizers": tuple(switched)}
    updates = dataclasses.replace(updates, **changed)
    trained = getattr(updates.state, network)
    update = tf.function(getattr(updates, f"{network}_step"), autograph=False)
    start = [variable.numpy() for variable in trained.variables]

    def weights_after_an_update() -> list[np.ndarray]:
        for variable, value in zip(trained.variables, start, strict=True):
            variable.assign(value)
        one_device().run(update, (*make_real_batch(config), tf.constant(3, tf.int64)))
        return [variable.numpy() for variable in trained.trainable_variables]

    after = weights_after_an_update()
    for name, regularizer in zip(REGULARIZERS[network], switched, strict=True):
        regularizer.factor.assign(0.0)
        without = weights_after_an_update()
        regularizer.factor.assign(1.0)
        effect = max(np.abs(value - reference).max() for value, reference in zip(after, without, strict=True))
        assert effect > 100 * TOLERANCE, name


@pytest.mark.slow
def test_two_replicas_equal_one():
    config = tiny_config(synchronized_batch_norm=True, loss="relativistic", **ALL, **NETWORK_OPTIONS)
    trainers = [make_trainer(config, strategy, sgd) for strategy in (one_device(), two_replicas())]
    for trainer in trainers:
        set_averages(trainer.state)
    metrics = [trainer.train(2) for trainer in trainers]
    for name in metrics[0]:
        if "norm" not in name and name != LOGIT_RANGE:  # these are means over replicas
            assert metrics[1][name] == pytest.approx(metrics[0][name], abs=TOLERANCE, rel=1e-2), name
    values = [read_all_values(trainer.state) for trainer in trainers]
    for name, value in values[0].items():
        np.testing.assert_allclose(values[1][name], value, atol=TOLERANCE, err_msg=name)


@pytest.mark.slow
def test_accumulation_in_parts_gives_the_update_of_the_whole_batch():
    """In the update of the discriminator, with a generator whose images do not depend on the batch."""
    found = []
    for parts in (1, 2):
        options = {"loss": "relativistic", "augment": ("color", "flip"), "gradient_accumulation_steps": parts}
        config = tiny_config(**ALL, **options)
        updates = make_updates(config, sgd)
        set_averages(updates.state)
        for variable in updates.state.generator.trainable_variables:
            if variable.name == "kernel":
                variable.assign(tf.zeros_like(variable))
        initial = read_values(updates.state.discriminator)
        run_in_replica(updates.discriminator_step, *make_real_batch(config), tf.constant(3, tf.int64))
        found.append(read_values(updates.state.discriminator))
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, atol=TOLERANCE / 10, err_msg=name)
    assert max(np.abs(value - initial[name]).max() for name, value in found[0].items()) > 100 * TOLERANCE


@pytest.mark.slow
def test_resumed_training_is_bit_identical(tmp_path: pathlib.Path):
    """tests/training/test_trainer.py resumes training with `NETWORK_OPTIONS`."""
    options = ALL | {"generator_top_k": 0.5, "precision": "mixed_bfloat16", "gradient_accumulation_steps": 2}
    config = tiny_config(**options)
    whole = make_trainer(config, one_device())
    whole.train(2)
    path = tf.train.Checkpoint(state=whole.state).write(str(tmp_path / "state"))
    metrics = whole.train(2)
    assert np.isfinite(list(metrics.values())).all()
    second = make_trainer(config, one_device(), position=2 * 4)
    tf.train.Checkpoint(state=second.state).read(path).assert_consumed()
    second.train(2)
    assert find_differences(read_all_values(whole.state), read_all_values(second.state)) == set()
