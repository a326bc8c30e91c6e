"""R1 and R2 compared with nested gradient tapes and finite differences."""

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import RegularizationConfig
from sagan_tf.errors import UserError
from sagan_tf.regularization.gradient_penalty import GradientPenalty, anneal_weight
from sagan_tf.training.discriminator_outputs import add_image_gradients, call_discriminator
from sagan_tf.training.validation import check_config
from tests.regularization.batches import SIZE, discriminator_batch, make_images
from tests.training.tiny import make_real_batch, make_updates, run_in_replica, tiny_config

DRAW, GAMMA = tf.constant(3, tf.int64), 0.4


@functools.cache
def update(**options: float) -> tuple[list[np.ndarray], dict[str, float], list[Any]]:
    """Update the discriminator.

    Returns:
        The applied gradient, the metrics, and the network with its real and fake images before the update.
    """
    config = tiny_config(architecture="dcgan", **options)
    updates = make_updates(config, lambda: keras.optimizers.SGD(1.0, name="sgd"))
    discriminator, (images, labels) = updates.state.discriminator, make_real_batch(config)
    latents, fake_labels = updates.sampler.draw(DRAW)
    with keras.StatelessScope():
        fakes = updates.state.generator([latents, fake_labels], training=True)
    before = [variable.numpy() for variable in discriminator.trainable_variables]
    u = [variable.numpy() for variable in discriminator.non_trainable_variables]
    metrics = run_in_replica(updates.discriminator_step, images, labels, DRAW)
    after = [variable.numpy() for variable in discriminator.trainable_variables]
    gradient = [start - end for start, end in zip(before, after, strict=True)]
    for variables, values in ((discriminator.trainable_variables, before), (discriminator.non_trainable_variables, u)):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    return (
        gradient,
        {name: float(value) for name, value in metrics.items()},
        [discriminator, (images, labels), (fakes, fake_labels)],
    )


def squared_norm(discriminator: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape, keras.StatelessScope():
        tape.watch(images)
        logits = discriminator([images, labels], training=True)
        total = tf.reduce_sum(logits)
    return tf.reduce_sum(tape.gradient(total, images) ** 2) / len(images)


@pytest.mark.parametrize(("name", "kind"), [("r1", 1), ("r2", 2)])
def test_value_and_gradient(name: str, kind: int):
    plain, without, _ = update()
    penalized, metrics, parts = update(**{f"{name}_weight": GAMMA})
    discriminator, batch = parts[0], parts[kind]
    variables = discriminator.trainable_variables
    with tf.GradientTape() as tape:
        penalty = GAMMA / 2.0 * squared_norm(discriminator, *batch)
    gradients = tape.gradient(penalty, [variable.value for variable in variables], unconnected_gradients="zero")
    expected = [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]
    scale = max(np.abs(gradient).max() for gradient in expected)
    assert scale > 1e-3
    for with_penalty, without_penalty, gradient in zip(penalized, plain, expected, strict=True):
        np.testing.assert_allclose(with_penalty - without_penalty, gradient, atol=2e-4 * scale + 1e-6)
    assert metrics[f"{name}_penalty"] == pytest.approx(float(penalty) * 2.0 / GAMMA, rel=1e-4)
    assert metrics["discriminator_loss"] == pytest.approx(without["discriminator_loss"], abs=1e-5)
    assert set(metrics) - set(without) == {f"{name}_penalty"}


def test_finite_differences():
    """The discriminator is smooth, because the gradient of a network with ReLUs is discontinuous."""
    weights = tf.random.stateless_normal([256, 5], [1, 2])
    images, labels = make_images(0), tf.zeros([SIZE], tf.int32)

    def value(changed: tf.Tensor) -> tf.Tensor:
        def discriminator(inputs: Sequence[tf.Tensor], training: bool) -> tf.Tensor:
            return tf.reduce_sum(tf.tanh(tf.reshape(inputs[0], [SIZE, -1]) @ changed / 16.0), 1, keepdims=True)

        outputs = add_image_gradients(call_discriminator)(discriminator, images, labels)
        regularizer = GradientPenalty("r1", operator.attrgetter("real_gradients"), lambda: tf.constant(GAMMA))
        return regularizer(discriminator_batch(real_gradients=outputs.image_gradients))[0]

    with tf.GradientTape() as tape:
        tape.watch(weights)
        penalty = value(weights)
    gradient = tape.gradient(penalty, weights)
    direction = gradient / tf.norm(gradient)
    slope = (value(weights + 0.1 * direction) - value(weights - 0.1 * direction)) / 0.2
    assert float(slope) == pytest.approx(float(tf.norm(gradient)), rel=0.01)


def test_annealing_follows_a_cosine():
    config = RegularizationConfig(r1_weight=2.0, gradient_penalty_final_fraction=0.1, gradient_penalty_anneal_steps=100)
    for step in (0, 25, 50, 100, 1000):
        share = (1.0 + math.cos(math.pi * min(step, 100) / 100)) / 2.0
        found = anneal_weight(config, config.r1_weight, tf.constant(step, tf.int64))
        assert float(found) == pytest.approx(2.0 * (0.1 + 0.9 * share), rel=1e-5)
    assert float(anneal_weight(RegularizationConfig(), 2.0, tf.constant(9, tf.int64))) == 2.0


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ({"precision": "mixed_float16"}, "mixed_float16"),
        ({"resolution": 128, "attention_resolutions": (64,), "attention_form": "paper"}, "64"),
    ],
)
def test_discriminator_without_second_derivative_is_rejected(options: dict, received: str):
    check_config(tiny_config(**options))
    check_config(tiny_config(r2_weight=1.0, resolution=128, attention_resolutions=(64,)))
    with pytest.raises(UserError, match=f"r2_weight.*{received}"):
        check_config(tiny_config(r2_weight=1.0, **options))
