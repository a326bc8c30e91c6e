"""Batches that regularizers receive, and the use of the terms that they return."""

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.regularization import Regularizer
from sagan_tf.training.discriminator_outputs import add_image_gradients
from sagan_tf.training.steps import AlternatingUpdates
from tests.training import tiny

DRAW = tf.constant(3, tf.int64)


class RecordingRegularizer(Regularizer):
    """A regularizer that adds 0 to the loss and records a function of the batch."""

    metrics = ("spread",)
    needs_image_gradients = True

    def __init__(self, measure: Any) -> None:
        self._measure = measure

    def __call__(self, batch: Any) -> Any:
        return tf.constant(0.0), {"spread": self._measure(batch)}


def create_updates_with(measure: Any, network: str = "discriminator", **options: Any) -> AlternatingUpdates:
    updates = tiny.make_updates(
        tiny.tiny_config(**tiny.PLAIN_NETWORKS, **options), lambda: keras.optimizers.SGD(0.1, name="sgd")
    )
    changed: dict[str, Any] = {
        "call_discriminator": add_image_gradients(updates.call_discriminator),
        f"{network}_regularizers": (RecordingRegularizer(measure),),
    }
    return dataclasses.replace(updates, **changed)


def max_distance(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    return tf.reduce_max(tf.abs(first - second))


def max_distance_of_repetitions(batch: Any) -> tf.Tensor:
    pairs = [
        (batch.compute_real_logits(batch.real_images), batch.real_logits),
        (batch.compute_fake_logits(batch.fake_images), batch.fake_logits),
        (batch.generate(batch.latents), batch.fake_images),
    ]
    return tf.reduce_max([max_distance(*pair) for pair in pairs])


@pytest.mark.parametrize("parts", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_repeated_calls_give_the_same_results_and_u_changes_once(parts: int):
    config = tiny.tiny_config(**tiny.PLAIN_NETWORKS, gradient_accumulation_steps=parts)
    plain = tiny.make_updates(config, lambda: keras.optimizers.SGD(0.1, name="sgd"))
    tiny.run_in_replica(plain.discriminator_step, *tiny.make_real_batch(config), DRAW)
    updates = create_updates_with(max_distance_of_repetitions, gradient_accumulation_steps=parts)
    metrics = tiny.run_in_replica(updates.discriminator_step, *tiny.make_real_batch(config), DRAW)
    assert float(metrics["spread"]) < 1e-6
    received = tiny.read_all_values(updates.state)
    for name, value in tiny.read_all_values(plain.state).items():
        np.testing.assert_allclose(received[name], value, atol=1e-6, err_msg=name)


def test_repeated_generation_gives_the_same_images():
    updates = create_updates_with(lambda batch: max_distance(batch.generate(batch.latents), batch.images), "generator")
    metrics = tiny.run_in_replica(updates.generator_step, *tiny.make_real_batch(tiny.tiny_config()), DRAW)
    assert tuple(metrics) == ("generator_loss", "spread", "generator_gradient_norm") and float(metrics["spread"]) < 1e-6


@pytest.mark.parametrize("kind", ["real", "fake"])
def test_image_gradients_equal_finite_differences(kind: str):
    step = 1e-2

    def measure(batch: Any) -> tf.Tensor:
        images, gradients = getattr(batch, f"{kind}_images"), getattr(batch, f"{kind}_gradients")
        direction = gradients / tf.norm(gradients)
        higher, lower = (
            getattr(batch, f"compute_{kind}_logits")(images + sign * step * direction) for sign in (1.0, -1.0)
        )
        slopes = (higher - lower)[:, 0] / (2.0 * step)
        return max_distance(slopes, tf.reduce_sum(gradients * direction, [1, 2, 3])) / tf.reduce_max(tf.abs(slopes))

    # A central difference has an error of second order, except near the kinks of ReLUs.
    metrics = tiny.run_in_replica(
        create_updates_with(measure).discriminator_step, *tiny.make_real_batch(tiny.tiny_config()), DRAW
    )
    assert float(metrics["spread"]) < 0.05


def test_term_is_added_and_variables_change_after_the_update():
    class Decay(Regularizer):
        metrics = ("decay",)

        def __init__(self, variables: Any) -> None:
            self._variables, self.seen = variables, tf.Variable(0.0)

        def __call__(self, batch: Any) -> Any:
            penalty = 0.5 * tf.add_n([tf.reduce_sum(tf.square(variable.value)) for variable in self._variables])
            return penalty, {"decay": penalty}

        def after_update(self, metrics: Any) -> None:
            self.seen.assign(metrics["decay"])

    config, rate = tiny.tiny_config(**tiny.PLAINEST_NETWORKS), 0.1
    before, after, losses = [], [], []
    for regularized in (False, True):
        updates = tiny.make_updates(config, lambda: keras.optimizers.SGD(rate))
        variables = updates.state.discriminator.trainable_variables
        before.append([variable.numpy() for variable in variables])
        if regularized:
            decay = Decay(variables)
            updates = dataclasses.replace(updates, discriminator_regularizers=(decay,))
        metrics = tiny.run_in_replica(updates.discriminator_step, *tiny.make_real_batch(config), DRAW)
        losses.append(float(metrics["discriminator_loss"]))
        after.append([variable.numpy() for variable in variables])
    assert losses[0] == losses[1] and float(decay.seen) == float(metrics["decay"]) > 0
    for start, plain, decayed in zip(before[0], *after, strict=True):
        np.testing.assert_allclose(plain - decayed, rate * start, atol=1e-5)
