"""Tests of training on two replicas against one device."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.training.updates import create_updates
from tests.training.tiny import (
    ADAPTIVE,
    NETWORK_OPTIONS,
    PLAIN_NETWORKS,
    make_trainer,
    one_device,
    read_values,
    tiny_config,
    two_replicas,
)


@pytest.mark.parametrize(
    ("updates", "options"),
    [
        (1, PLAIN_NETWORKS),
        pytest.param(1, {}, marks=pytest.mark.slow),
        pytest.param(2, ADAPTIVE | PLAIN_NETWORKS, marks=pytest.mark.slow),
        pytest.param(2, NETWORK_OPTIONS, marks=pytest.mark.slow),
        pytest.param(2, {"loss": "relativistic", **PLAIN_NETWORKS}, marks=pytest.mark.slow),
    ],
    ids=["plain", "defaults", "adaptive_augmentation", "network_options", "relativistic"],
)
def test_two_replicas_equal_one_on_the_same_global_batch(updates, options):
    # SGD, because Adam with beta1 = 0 would hide a wrong factor in the gradients.
    options = {"discriminator_steps_per_step": updates, "ema_decay": 0.5, **options}
    config = tiny_config(synchronized_batch_norm=True, **options)
    trainers = [make_trainer(config, make(), lambda: keras.optimizers.SGD(0.02)) for make in (one_device, two_replicas)]
    steps = 5 if "ada_target" in options else 2
    metrics = [trainer.train(steps) for trainer in trainers]
    for part in ("generator", "discriminator", "generator_ema"):
        one, two = (read_values(getattr(trainer.state, part)) for trainer in trainers)
        for name, value in one.items():
            np.testing.assert_allclose(two[name], value, atol=1e-5, err_msg=f"{part} {name}")
    for name in ("discriminator_loss", "generator_loss", "real_logits", "fake_logits"):
        assert metrics[1][name] == pytest.approx(metrics[0][name], abs=1e-4)
    assert trainers[0].state.data_position.numpy() == trainers[1].state.data_position.numpy() == steps * updates * 4
    if "ada_target" in options:
        single, double = (trainer.state.augment_probability for trainer in trainers)
        assert single is not None and double is not None
        assert single.probability.numpy() > 0 and single.num_updates.numpy() == 2
        for variable, mirrored in zip(single.variables, double.variables, strict=True):
            np.testing.assert_allclose([value.numpy() for value in mirrored.values], variable.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    "precision", [pytest.param(name, marks=pytest.mark.slow) for name in ("float32", "mixed_float16")]
)
def test_replicas_stay_equal_with_their_own_batch_statistics(precision):
    config = tiny_config(precision=precision, gradient_accumulation_steps=2, **PLAIN_NETWORKS)
    trainer = make_trainer(config, two_replicas())
    trainer.train(2)
    state = trainer.state
    for network in (state.generator, state.discriminator, state.generator_ema):
        for variable in network.variables:
            first, second = (copy.numpy() for copy in variable.value.values)
            np.testing.assert_array_equal(first, second, err_msg=variable.path)


def test_checkpoints_of_two_replicas_and_of_one_are_interchangeable(tmp_path):
    config = tiny_config(**PLAIN_NETWORKS)
    states = [make_trainer(config, strategy()).state for strategy in (one_device, two_replicas)]
    paths = [tf.train.Checkpoint(state=state).write(str(tmp_path / str(n))) for n, state in enumerate(states)]
    assert tf.train.list_variables(paths[0]) == tf.train.list_variables(paths[1])
    one, two = (
        state.generator.non_trainable_variables + state.discriminator.non_trainable_variables for state in states
    )
    for variable in one:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    path = tf.train.Checkpoint(state=states[0]).write(str(tmp_path / "moved"))
    tf.train.Checkpoint(state=states[1]).read(path).assert_consumed()
    assert {variable.name for variable in two} == {"u", "moving_mean", "moving_variance"}
    for ours, expected in zip(two, one, strict=True):
        for copy in ours.value.values:
            np.testing.assert_array_equal(copy.numpy(), expected.numpy(), err_msg=ours.path)


@pytest.mark.parametrize("class_counts", [(), (1, 0, 3)])
def test_the_latents_of_the_replicas_together_are_the_global_draw(class_counts):
    config = tiny_config(**PLAIN_NETWORKS)
    trainer = make_trainer(config, two_replicas())
    sampler = create_updates(config, trainer.state, class_counts).sampler
    strategy = trainer.strategy
    drawn = strategy.run(tf.function(sampler.draw_for_replica), (tf.constant(5, tf.int64),))
    latents = [part.numpy() for part in strategy.experimental_local_results(drawn[0])]
    assert not np.isclose(latents[0], latents[1]).any()
    whole = sampler.draw(tf.constant(5, tf.int64))
    np.testing.assert_array_equal(np.concatenate(latents), whole[0].numpy())
    labels = [part.numpy() for part in strategy.experimental_local_results(drawn[1])]
    np.testing.assert_array_equal(np.concatenate(labels), whole[1].numpy())
