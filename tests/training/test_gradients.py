"""Tests of the accumulation and application of gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.training.gradients import apply_gradients
from sagan_tf.training.health.signs import LOGIT_RANGE
from tests.training.tiny import (
    PLAINEST_NETWORKS,
    find_differences,
    make_real_batch,
    make_updates,
    one_device,
    read_values,
    run_in_replica,
    tiny_config,
    two_replicas,
)

DRAW = tf.constant(3, tf.int64)


def sgd() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.1)


@pytest.mark.parametrize("group_size", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_accumulation_in_parts_gives_the_update_of_the_whole_batch(group_size):
    # The discriminator has at most group statistics, so it does not depend on the parts. The generator's batch
    # normalization does, so its kernels are 0 and its images do not depend on the batch.
    results = []
    augment = ("color", "translation", "cutout", "flip")
    for parts in (1, 2) if group_size else (1, 4):
        options = {"gradient_accumulation_steps": parts, "discriminator_minibatch_statistics": group_size}
        config = tiny_config(augment=augment, **options, **PLAINEST_NETWORKS)
        updates = make_updates(config, sgd)
        for variable in updates.state.generator.trainable_variables:
            if variable.name == "kernel":
                variable.assign(tf.zeros_like(variable))
        metrics = run_in_replica(updates.discriminator_step, *make_real_batch(config), DRAW)
        results.append(
            (read_values(updates.state.discriminator), {name: float(value) for name, value in metrics.items()})
        )
    for variables, metrics in results[1:]:
        for name, value in results[0][0].items():
            np.testing.assert_allclose(variables[name], value, atol=1e-5, err_msg=name)
        # The range is a mean over parts, and the range of a part is at most that of the whole batch.
        expected = results[0][1] | {LOGIT_RANGE: metrics[LOGIT_RANGE]}
        assert metrics == pytest.approx(expected, abs=1e-4)
        assert 0.0 < metrics[LOGIT_RANGE] <= results[0][1][LOGIT_RANGE] + 1e-4


def test_u_is_updated_once_in_an_update_of_several_parts():
    config = tiny_config(gradient_accumulation_steps=2)
    updates = make_updates(config)
    layer = updates.state.generator.get_layer("block_1").convolution_1
    w, u = layer.layer.kernel.numpy().reshape(-1, layer.layer.filters), layer.u.numpy()
    run_in_replica(updates.generator_step, *make_real_batch(config), DRAW)
    once = w @ (w.T @ u)
    np.testing.assert_allclose(layer.u.numpy(), once / np.linalg.norm(once), atol=1e-6)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)])
def test_half_precision_updates_both_networks(precision):
    config = tiny_config(architecture="dcgan", precision=precision, augment=("color", "translation", "cutout", "flip"))
    updates = make_updates(config)
    state = updates.state
    before = read_values(state.generator), read_values(state.discriminator)
    for _ in range(15):  # with float16 the first updates overflow and are skipped
        metrics = run_in_replica(updates.discriminator_step, *make_real_batch(config), DRAW)
        metrics |= run_in_replica(updates.generator_step, *make_real_batch(config), DRAW)
        assert np.isfinite([float(value) for value in metrics.values()]).all()
        if metrics["generator_gradient_norm"] > 0 and metrics["discriminator_gradient_norm"] > 0:
            break
    assert float(metrics["generator_gradient_norm"]) > 0
    assert find_differences(before[0], read_values(state.generator)) and find_differences(
        before[1], read_values(state.discriminator)
    )
    assert state.generator_ema([tf.zeros([1, 5]), tf.zeros([1], tf.int32)]).dtype == tf.float32


@pytest.mark.parametrize("make_strategy", [one_device, two_replicas])
def test_an_overflow_on_any_replica_skips_the_update_on_all(make_strategy):
    strategy = make_strategy()
    with strategy.scope():
        variable = keras.Variable([1.0, 2.0])
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0), initial_scale=8.0)
        optimizer.build([variable])

    @tf.function
    def step(bad: tf.Tensor) -> tf.Tensor:
        def replica() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            last = tf.equal(context.replica_id_in_sync_group, context.num_replicas_in_sync - 1)
            gradient = tf.constant([8.0, 8.0]) / context.num_replicas_in_sync
            gradient = tf.where(tf.logical_and(bad, last), float("inf"), gradient)
            return apply_gradients(optimizer, [gradient], [variable])

        return strategy.reduce("MEAN", strategy.run(replica), axis=None)

    step(tf.constant(True))
    assert variable.numpy().tolist() == [1.0, 2.0]
    assert float(optimizer.dynamic_scale.numpy()) == 4.0
    norm = step(tf.constant(False))
    assert variable.numpy().tolist() == [-1.0, 0.0]  # gradient 8 at scale 4 is 2
    assert float(norm) == pytest.approx(np.hypot(2.0, 2.0))
