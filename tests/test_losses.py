"""Adversarial losses compared with values computed by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.losses import LOSSES, PairedLoss

REAL = [[2.0], [0.5], [-1.0], [1.0]]
FAKE = [[-3.0], [-0.5], [0.0], [2.0]]

SIGMOID = {x: 1.0 / (1.0 + math.exp(-x)) for x in (-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)}

# Hinge: real (0 + 0.5 + 2 + 0) / 4, fake (0 + 0.5 + 1 + 3) / 4. Least squares: real (1 + 0.25 + 4 + 0) / 4, fake
# (9 + 0.25 + 0 + 4) / 4, halved; generator ((-4)^2 + (-1.5)^2 + (-1)^2 + 1^2) / 4, halved.
VALUES = {
    "hinge": (0.625 + 1.125, 0.375),
    "wasserstein": (-0.375 - 0.625, 0.375),
    "least_squares": ((1.3125 + 3.3125) / 2.0, 20.25 / 8.0),
    "non_saturating": (
        -sum(math.log(SIGMOID[x]) for x in (2.0, 0.5, -1.0, 1.0)) / 4.0
        - sum(math.log(1.0 - SIGMOID[x]) for x in (-3.0, -0.5, 0.0, 2.0)) / 4.0,
        -sum(math.log(SIGMOID[x]) for x in (-3.0, -0.5, 0.0, 2.0)) / 4.0,
    ),
}

# 4 times d loss / d (real logit), d loss / d (fake logit), d generator loss / d (fake logit). The second and third real
# and the last three fake logits are inside the margin of the hinge loss; 1.0 is on its edge, where the slope is 0.
GRADIENTS = {
    "hinge": ([0.0, -1.0, -1.0, 0.0], [0.0, 1.0, 1.0, 1.0], [-1.0] * 4),
    "wasserstein": ([-1.0] * 4, [1.0] * 4, [-1.0] * 4),
    "least_squares": ([1.0, -0.5, -2.0, 0.0], [-3.0, -0.5, 0.0, 2.0], [-4.0, -1.5, -1.0, 1.0]),
    "non_saturating": (
        [SIGMOID[x] - 1.0 for x in (2.0, 0.5, -1.0, 1.0)],
        [SIGMOID[x] for x in (-3.0, -0.5, 0.0, 2.0)],
        [SIGMOID[x] - 1.0 for x in (-3.0, -0.5, 0.0, 2.0)],
    ),
}
every_loss = pytest.mark.parametrize("name", [name for name in LOSSES if not isinstance(LOSSES[name], PairedLoss)])


@pytest.mark.parametrize("name", LOSSES)
def test_constant_logit_loss(name):
    constants = tf.linspace(-3.0, 3.0, 601)
    losses = [float(LOSSES[name].discriminator(logit[None, None], logit[None, None])) for logit in constants]
    assert LOSSES[name].constant_logit_loss == (None if name == "wasserstein" else pytest.approx(min(losses), abs=1e-5))


@every_loss
def test_values(name):
    discriminator_loss = LOSSES[name].discriminator(tf.constant(REAL), tf.constant(FAKE))
    generator_loss = LOSSES[name].generator(tf.constant(FAKE))
    assert discriminator_loss.shape == generator_loss.shape == ()
    np.testing.assert_allclose([discriminator_loss, generator_loss], VALUES[name], rtol=1e-6)


@every_loss
def test_gradients(name):
    real, fake = tf.constant(REAL), tf.constant(FAKE)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        discriminator_loss = LOSSES[name].discriminator(real, fake)
        generator_loss = LOSSES[name].generator(fake)
    found = [*tape.gradient(discriminator_loss, [real, fake]), tape.gradient(generator_loss, fake)]
    for gradient, expected in zip(found, GRADIENTS[name], strict=True):
        np.testing.assert_allclose(gradient.numpy()[:, 0], np.array(expected) / 4.0, rtol=1e-5, atol=1e-7)


@every_loss
def test_large_logits_stay_finite(name):
    large = tf.constant([[1e4], [-1e4]])
    assert math.isfinite(LOSSES[name].discriminator(large, large))
    assert math.isfinite(LOSSES[name].generator(large))


def test_relativistic_loss():
    loss, real, fake = LOSSES["relativistic"], tf.constant(REAL), tf.constant(FAKE)
    margins = np.array(REAL) - np.array(FAKE)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        values = [loss.discriminator(real, fake), loss.generator(real, fake)]
    np.testing.assert_allclose(values, [np.log1p(np.exp(-margins)).mean(), np.log1p(np.exp(margins)).mean()], rtol=1e-6)
    for value, sign in zip(values, (1.0, -1.0), strict=True):
        expected = sign / (1.0 + np.exp(sign * margins)) / len(margins)
        for logits, side in ((real, -1.0), (fake, 1.0)):
            np.testing.assert_allclose(tape.gradient(value, logits), side * expected, rtol=1e-5)
    assert math.isfinite(loss.discriminator(tf.constant([[-1e4]]), tf.constant([[1e4]])))
