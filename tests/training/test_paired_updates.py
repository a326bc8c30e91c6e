"""Tests of the relativistic loss against updates written out for pairs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny import PLAIN_NETWORKS, make_real_batch, make_updates, run_in_replica, tiny_config

DRAW = tf.constant(3, tf.int64)


def test_pairs_have_one_label_and_the_generator_update_uses_the_real_images():
    config = tiny_config(loss="relativistic", **PLAIN_NETWORKS)
    updates = make_updates(config, lambda: keras.optimizers.SGD(0.0, name="sgd"))
    images, labels = make_real_batch(config)
    latents, _ = updates.sampler.draw(DRAW)
    with keras.StatelessScope():
        fakes = updates.state.generator([latents, labels], training=True)
    with keras.StatelessScope():
        real, fake = tf.split(
            updates.state.discriminator([tf.concat([images, fakes], 0), tf.tile(labels, [2])], training=True), 2
        )
    margin = (real - fake).numpy().astype(np.float64)
    metrics = run_in_replica(updates.discriminator_step, images, labels, DRAW)
    assert float(metrics["discriminator_loss"]) == pytest.approx(np.log1p(np.exp(-margin)).mean(), abs=1e-5)
    logits = []  # after the update of u
    for batch in (images, fakes):
        with keras.StatelessScope():
            logits.append(updates.state.discriminator([batch, labels], training=True))
    margin = (logits[0] - logits[1]).numpy().astype(np.float64)
    metrics = run_in_replica(updates.generator_step, images, labels, DRAW)
    assert float(metrics["generator_loss"]) == pytest.approx(np.log1p(np.exp(margin)).mean(), abs=1e-4)
