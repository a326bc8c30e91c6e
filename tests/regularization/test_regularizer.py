"""Batches that the regularizers of the two updates receive, and use of the terms that they return."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.regularization import Regularizer
from sagan_tf.training.discriminator_outputs import with_image_gradients
from sagan_tf.training.steps import AlternatingUpdates
from sagan_tf.training.trainer import Trainer
from sagan_tf.training.updates import create_updates
from tests.training import tiny

DRAW = tf.constant(3, tf.int64)


class Recording(Regularizer):
    """Adds 0 and keeps scalars of what it was given."""

    metrics = ("spread",)
    needs_image_gradients = True

    def __init__(self, look: Any) -> None:
        self._look = look

    def __call__(self, batch: Any) -> Any:
        return tf.constant(0.0), {"spread": self._look(batch)}


def updates_with(look: Any, network: str = "discriminator", **options: Any) -> AlternatingUpdates:
    updates = tiny.make_updates(
        tiny.tiny_config(**tiny.PLAIN_NETWORKS, **options), lambda: keras.optimizers.SGD(0.1, name="sgd")
    )
    changed = {"judge": with_image_gradients(updates.judge), f"{network}_regularizers": (Recording(look),)}
    return dataclasses.replace(updates, **changed)


def distance(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    return tf.reduce_max(tf.abs(first - second))


def distance_of_repetitions(batch: Any) -> tf.Tensor:
    pairs = [
        (batch.judge_real(batch.real_images), batch.real_logits),
        (batch.judge_fake(batch.fake_images), batch.fake_logits),
        (batch.generate(batch.latents), batch.fake_images),
    ]
    return tf.reduce_max([distance(*pair) for pair in pairs])


@pytest.mark.parametrize("parts", [1, 2])
def test_the_networks_give_the_same_again_and_u_moves_once(parts: int):
    config = tiny.tiny_config(**tiny.PLAIN_NETWORKS, gradient_accumulation_steps=parts)
    plain = tiny.make_updates(config, lambda: keras.optimizers.SGD(0.1, name="sgd"))
    tiny.run_in_replica(plain.discriminator_step, *tiny.real_batch(config), DRAW)
    updates = updates_with(distance_of_repetitions, gradient_accumulation_steps=parts)
    metrics = tiny.run_in_replica(updates.discriminator_step, *tiny.real_batch(config), DRAW)
    assert float(metrics["spread"]) < 1e-6
    received = tiny.all_values(updates.state)
    for name, value in tiny.all_values(plain.state).items():
        np.testing.assert_allclose(received[name], value, atol=1e-6, err_msg=name)


def test_the_generator_gives_the_same_again():
    updates = updates_with(lambda batch: distance(batch.generate(batch.latents), batch.images), "generator")
    metrics = tiny.run_in_replica(updates.generator_step, *tiny.real_batch(tiny.tiny_config()), DRAW)
    assert tuple(metrics) == ("generator_loss", "spread", "generator_gradient_norm") and float(metrics["spread"]) < 1e-6


@pytest.mark.parametrize("kind", ["real", "fake"])
def test_gradients_are_of_each_logit_by_its_image(kind: str):
    step = 1e-2

    def look(batch: Any) -> tf.Tensor:
        images, gradients = getattr(batch, f"{kind}_images"), getattr(batch, f"{kind}_gradients")
        direction = gradients / tf.norm(gradients)
        higher, lower = (getattr(batch, f"judge_{kind}")(images + sign * step * direction) for sign in (1.0, -1.0))
        slopes = (higher - lower)[:, 0] / (2.0 * step)
        return distance(slopes, tf.reduce_sum(gradients * direction, [1, 2, 3])) / tf.reduce_max(tf.abs(slopes))

    # Without the ReLUs' kinks nearby a central difference has an error of the second order.
    metrics = tiny.run_in_replica(updates_with(look).discriminator_step, *tiny.real_batch(tiny.tiny_config()), DRAW)
    assert float(metrics["spread"]) < 0.05


def darken(images: tf.Tensor, random_numbers: RandomNumbers) -> tf.Tensor:
    return images * random_numbers.uniform((1, 1, 1), 0.0, 1.0)


def test_images_are_augmented_alike_on_any_number_of_replicas_and_in_any_parts():
    config = tiny.tiny_config(**tiny.PLAIN_NETWORKS, synchronized_batch_norm=True)
    results = {}
    for name, strategy in (("one", tiny.one_device()), ("two", tiny.two_replicas())):
        state = tiny.make_state(config, strategy, lambda: keras.optimizers.SGD(0.01, name="sgd"))
        updates = dataclasses.replace(create_updates(config, state), augment=darken)
        trainer = Trainer(updates, strategy, tiny.make_iterator(config, strategy), config.training)
        trainer.train(2)
        results[name] = tiny.all_values(state)
    for name, value in results["one"].items():
        np.testing.assert_allclose(results["two"][name], value, atol=2e-5, err_msg=name)
    plain = tiny.make_trainer(config, tiny.one_device(), lambda: keras.optimizers.SGD(0.01, name="sgd"))
    plain.train(2)
    assert tiny.differences(results["one"], tiny.all_values(plain.state))


def test_terms_are_added_to_the_loss_and_variables_change_after_the_update():
    class Decay(Regularizer):
        metrics = ("decay",)

        def __init__(self, variables: Any) -> None:
            self._variables, self.seen = variables, tf.Variable(0.0)

        def __call__(self, batch: Any) -> Any:
            penalty = 0.5 * tf.add_n([tf.reduce_sum(tf.square(variable.value)) for variable in self._variables])
            return penalty, {"decay": penalty}

        def after_update(self, metrics: Any) -> None:
            self.seen.assign(metrics["decay"])

    config, rate = tiny.tiny_config(**tiny.PLAIN_NETWORKS), 0.1
    before, after, losses = [], [], []
    for regularized in (False, True):
        updates = tiny.make_updates(config, lambda: keras.optimizers.SGD(rate))
        variables = updates.state.discriminator.trainable_variables
        before.append([variable.numpy() for variable in variables])
        if regularized:
            decay = Decay(variables)
            updates = dataclasses.replace(updates, discriminator_regularizers=(decay,))
        metrics = tiny.run_in_replica(updates.discriminator_step, *tiny.real_batch(config), DRAW)
        losses.append(float(metrics["discriminator_loss"]))
        after.append([variable.numpy() for variable in variables])
    assert losses[0] == losses[1] and float(decay.seen) == float(metrics["decay"]) > 0
    for start, plain, decayed in zip(before[0], *after, strict=True):
        np.testing.assert_allclose(plain - decayed, rate * start, atol=1e-5)
