"""LeCam against its formula, and its averages on replicas."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.regularization.lecam import DECAY, LeCam, LogitAverages
from tests.regularization.batches import discriminator_batch
from tests.training.tiny import one_device, two_replicas

REAL, FAKE = tf.constant([[1.0], [3.0]]), tf.constant([[-2.0], [0.5]])


def test_value_and_gradients():
    averages = LogitAverages()
    regularizer = LeCam(averages, 0.3)
    assert [float(term) for term in regularizer(discriminator_batch(real_logits=REAL, fake_logits=FAKE))[0:1]] == [0.0]
    averages.real.assign(0.75)
    averages.fake.assign(-0.5)
    averages.updates.assign(5)
    with tf.GradientTape() as tape:
        tape.watch([REAL, FAKE])
        term, metrics = regularizer(discriminator_batch(real_logits=REAL, fake_logits=FAKE))
    expected = ((1.5**2 + 3.5**2) + (2.75**2 + 0.25**2)) / 2.0
    assert float(term) == pytest.approx(0.3 * expected) and float(metrics["lecam_penalty"]) == pytest.approx(expected)
    for logits, anchor, gradient in zip((REAL, FAKE), (-0.5, 0.75), tape.gradient(term, [REAL, FAKE]), strict=True):
        np.testing.assert_allclose(gradient, 0.3 * (logits - anchor), rtol=1e-6)


@pytest.mark.parametrize("make_strategy", [one_device, two_replicas])
def test_averages_of_all_replicas(make_strategy: Callable[[], tf.distribute.Strategy]):
    """A plain mean at first, exponential later, and the same numbers on every replica."""
    strategy = make_strategy()
    replicas = strategy.num_replicas_in_sync
    logits = np.random.default_rng(0).normal(size=(150, 2, replicas)).astype(np.float32)
    with strategy.scope():
        averages = LogitAverages()

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
