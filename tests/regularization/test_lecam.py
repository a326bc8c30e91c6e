"""LeCam compared with its formula, and its averages on replicas."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import RegularizationConfig
from sagan_tf.regularization.lecam import LeCam, LogitAverages
from tests.regularization.batches import discriminator_batch
from tests.training.tiny import PLAINEST_NETWORKS, make_state, one_device, tiny_config, two_replicas

DECAY = 0.98
REAL, FAKE = tf.constant([[1.0], [3.0]]), tf.constant([[-2.0], [0.5]])
AVERAGE_REAL, AVERAGE_FAKE = 0.75, -0.5
WRONG_SIDE = tf.constant([[1.0], [-1.5]]), tf.constant([[-2.0], [1.25]])
"""Logits whose second values are beyond the opposite average: -1.5 < -0.5 and 1.25 > 0.75."""


def create_lecam(step: int = 0, **options: Any) -> tuple[LeCam, LogitAverages]:
    averages = LogitAverages()
    config = RegularizationConfig(lecam_weight=0.3, **options)
    return LeCam(averages, config, tf.Variable(step, dtype=tf.int64)), averages


def set_averages(averages: LogitAverages) -> None:
    averages.real.assign(AVERAGE_REAL)
    averages.fake.assign(AVERAGE_FAKE)
    averages.updates.assign(5)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize(("real", "fake"), [(REAL, FAKE), WRONG_SIDE])
def test_value_and_gradients(real: tf.Tensor, fake: tf.Tensor, clip: bool):
    """Compare with the paper without clipping, and with the authors' code with clipping, in NumPy."""
    regularizer, averages = create_lecam(lecam_clip=clip)
    assert float(regularizer(discriminator_batch(real_logits=real, fake_logits=fake))[0]) == 0.0
    set_averages(averages)
    with tf.GradientTape() as tape:
        tape.watch([real, fake])
        term, metrics = regularizer(discriminator_batch(real_logits=real, fake_logits=fake))
    distances = [real.numpy() - AVERAGE_FAKE, AVERAGE_REAL - fake.numpy()]
    if clip:
        distances = [np.maximum(distance, 0.0) for distance in distances]
    expected = sum((distance**2).mean() for distance in distances)
    assert float(term) == pytest.approx(0.3 * expected) and float(metrics["lecam_penalty"]) == pytest.approx(expected)
    for sign, distance, gradient in zip((1.0, -1.0), distances, tape.gradient(term, [real, fake]), strict=True):
        np.testing.assert_allclose(gradient, sign * 0.3 * distance, rtol=1e-6)


def test_term_starts_at_its_step():
    logits = {"real_logits": REAL, "fake_logits": FAKE}
    terms = {}
    for step in (0, 6, 7, 8):
        regularizer, averages = create_lecam(step, lecam_start_step=7)
        set_averages(averages)
        terms[step] = float(regularizer(discriminator_batch(**logits))[0])
    assert terms[0] == terms[6] == 0.0 < terms[7] == terms[8]


def test_decay_follows_the_option():
    config = tiny_config(**PLAINEST_NETWORKS, lecam_weight=0.1, lecam_decay=0.5)
    averages = make_state(config, one_device()).logit_averages
    assert averages is not None
    averages.updates.assign(1000)
    one_device().run(averages.update, (tf.constant(1.0), tf.constant(-2.0)))
    assert float(averages.real) == pytest.approx(0.5)


@pytest.mark.parametrize("make_strategy", [one_device, two_replicas])
def test_averages_over_replicas(make_strategy: Callable[[], tf.distribute.Strategy]):
    """Averages are arithmetic at first and exponential later, and equal on every replica."""
    strategy = make_strategy()
    replicas = strategy.num_replicas_in_sync
    logits = np.random.default_rng(0).normal(size=(150, 2, replicas)).astype(np.float32)
    with strategy.scope():
        averages = LogitAverages(DECAY)

    @tf.function
    def update(real: tf.Tensor, fake: tf.Tensor) -> None:
        def replica() -> None:
            index = tf.distribute.get_replica_context().replica_id_in_sync_group
            averages.update(real[index], fake[index])

        strategy.run(replica)

    expected = np.zeros(2)
    for number, (real, fake) in enumerate(logits):
        update(tf.constant(real), tf.constant(fake))
        decay = min(DECAY, number / (number + 1))
        expected = decay * expected + (1.0 - decay) * np.array([real.mean(), fake.mean()])
        if number == 9:
            np.testing.assert_allclose(expected, logits[:10].mean((0, 2)), rtol=1e-5)
    for variable, value in ((averages.real, expected[0]), (averages.fake, expected[1])):
        copies = variable.values if replicas > 1 else [variable]
        np.testing.assert_allclose([copy.numpy() for copy in copies], value, rtol=1e-4)
    assert int(averages.updates.numpy()) == 150
