"""Tests of the two updates of a step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.losses import LOSSES, PairedLoss
from sagan_tf.training.steps import DISCRIMINATOR_METRICS, GENERATOR_METRICS
from tests.training.tiny import (
    PLAIN_NETWORKS,
    find_differences,
    make_real_batch,
    make_updates,
    read_values,
    run_in_replica,
    tiny_config,
)

DRAW = tf.constant(0, tf.int64)


def call_without_updates(network: keras.Model, *inputs: tf.Tensor) -> tf.Tensor:
    """Call a network in training mode without updating `u`."""
    with keras.StatelessScope():
        return network(list(inputs), training=True)


def test_networks_share_no_variable():
    state = make_updates(tiny_config()).state
    networks = (state.generator, state.discriminator, state.generator_ema)
    owned = [id(variable) for network in networks for variable in network.variables]
    assert len(owned) == len(set(owned))


def test_discriminator_step_changes_only_the_discriminator():
    config = tiny_config(**PLAIN_NETWORKS)
    updates = make_updates(config)
    state = updates.state
    before = [read_values(part) for part in (state.generator, state.generator_ema, state.generator_optimizer)]
    discriminator = read_values(state.discriminator)
    run_in_replica(updates.discriminator_step, *make_real_batch(config), DRAW)
    after = [read_values(part) for part in (state.generator, state.generator_ema, state.generator_optimizer)]
    assert [find_differences(a, b) for a, b in zip(before, after, strict=True)] == [set(), set(), set()]
    moved = find_differences(discriminator, read_values(state.discriminator))
    assert {name for name in discriminator if "kernel" in name or name.endswith(("/u", "embeddings"))} <= moved


def test_generator_step_changes_only_the_generator():
    config = tiny_config(**PLAIN_NETWORKS)
    updates = make_updates(config)
    state = updates.state
    before = [read_values(part) for part in (state.discriminator, state.generator_ema, state.discriminator_optimizer)]
    generator = read_values(state.generator)
    run_in_replica(updates.generator_step, *make_real_batch(config), DRAW)
    after = [read_values(part) for part in (state.discriminator, state.generator_ema, state.discriminator_optimizer)]
    assert [find_differences(a, b) for a, b in zip(before, after, strict=True)] == [set(), set(), set()]
    moved = find_differences(generator, read_values(state.generator))
    assert {name for name in generator if "moving" in name or name.endswith("/u")} <= moved
    assert {name for name in generator if "kernel" in name} <= moved


def test_u_is_updated_once_for_real_and_fake_images():
    config = tiny_config()
    updates = make_updates(config)
    layer = updates.state.discriminator.get_layer("block_1").convolution_2
    w = layer.layer.kernel.numpy().reshape(-1, layer.layer.filters)
    u = layer.u.numpy()
    run_in_replica(updates.discriminator_step, *make_real_batch(config), DRAW)
    once = w @ (w.T @ u)
    np.testing.assert_allclose(layer.u.numpy(), once / np.linalg.norm(once), atol=1e-6)
    twice = w @ (w.T @ once)
    assert np.abs(twice / np.linalg.norm(twice) - layer.u.numpy()).max() > 1e-3


@pytest.mark.parametrize("loss", [name for name in LOSSES if not isinstance(LOSSES[name], PairedLoss)])
def test_losses_against_the_networks(loss: str):
    config = tiny_config(loss=loss, **PLAIN_NETWORKS)
    updates = make_updates(config)
    images, labels = make_real_batch(config)
    latents, fake_labels = updates.sampler.draw(DRAW)
    fakes = call_without_updates(updates.state.generator, latents, fake_labels)
    real = call_without_updates(updates.state.discriminator, images, labels)
    fake = call_without_updates(updates.state.discriminator, fakes, fake_labels)
    expected = float(LOSSES[loss].discriminator(real, fake))
    metrics = run_in_replica(updates.discriminator_step, images, labels, DRAW)
    assert tuple(metrics) == DISCRIMINATOR_METRICS
    assert float(metrics["discriminator_loss"]) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert float(metrics["real_logits"]) == pytest.approx(float(tf.reduce_mean(real)), rel=1e-5, abs=1e-5)
    assert float(metrics["fake_logits"]) == pytest.approx(float(tf.reduce_mean(fake)), rel=1e-5, abs=1e-5)
    logits = np.concatenate([real, fake])
    assert float(metrics["logit_range"]) == pytest.approx(logits.max() - logits.min(), rel=1e-5, abs=1e-5)
    # The generator update uses the updated discriminator.
    logits = call_without_updates(updates.state.discriminator, fakes, fake_labels)
    generator_metrics = run_in_replica(updates.generator_step, *make_real_batch(config), DRAW)
    assert tuple(generator_metrics) == GENERATOR_METRICS
    expected = float(LOSSES[loss].generator(logits))
    assert float(generator_metrics["generator_loss"]) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_auxiliary_classifier_learns_the_labels_of_real_and_fake_images():
    config = tiny_config(conditioning="auxiliary_classifier", **PLAIN_NETWORKS)
    updates = make_updates(config)
    images, labels = make_real_batch(config)
    latents, fake_labels = updates.sampler.draw(DRAW)
    losses = []
    fakes = call_without_updates(updates.state.generator, latents, fake_labels)
    for batch, targets in ((images, labels), (fakes, fake_labels)):
        logits, class_logits = call_without_updates(updates.state.discriminator, batch, targets)
        probabilities = tf.nn.softmax(class_logits).numpy()
        losses.append(-np.log(probabilities[np.arange(4), targets.numpy()]).mean())
        losses.append(float(tf.reduce_mean(tf.nn.relu(1 - logits if batch is images else 1 + logits))))
    metrics = run_in_replica(updates.discriminator_step, images, labels, DRAW)
    assert float(metrics["discriminator_loss"]) == pytest.approx(sum(losses), abs=1e-4)


def test_unconditional_networks_train():
    config = tiny_config(conditioning="none", num_classes=0, **PLAIN_NETWORKS)
    updates = make_updates(config)
    metrics = run_in_replica(updates.discriminator_step, *make_real_batch(config), DRAW)
    assert np.isfinite([float(value) for value in metrics.values()]).all()
    assert np.isfinite(float(run_in_replica(updates.generator_step, *make_real_batch(config), DRAW)["generator_loss"]))
