"""How the discriminator is asked about a batch of images."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from sagan_tf.keras_backend import keras


class Judgement(NamedTuple):
    """What the discriminator says of a batch.

    Attributes:
        logits: float32 [batch, 1].
        class_losses: float32 [batch, 1], cross-entropy of the class it sees; zeros unless it classifies.
        image_gradients: float32 [batch, R, R, C], of each logit with respect to its image; None unless asked for.
        features: float32 [batch, channels], the input of the discriminator's last layers; None unless asked for.
    """

    logits: tf.Tensor
    class_losses: tf.Tensor
    image_gradients: tf.Tensor | None = None
    features: tf.Tensor | None = None


Discriminator = Callable[..., Any]
"""A discriminator network, or a function that is called like one."""
HeldState = Callable[[], contextlib.AbstractContextManager[Any]]
"""Makes scopes for calls of a network that leave its statistics and `u` alone."""
Judge = Callable[[Discriminator, tf.Tensor, tf.Tensor], Judgement]


def judge(discriminator: Discriminator, images: tf.Tensor, labels: tf.Tensor) -> Judgement:
    """Of a discriminator with logits alone: images [batch, R, R, C] in [-1, 1], labels int32 [batch]."""
    logits = discriminator([images, labels], training=True)
    return Judgement(logits, tf.zeros_like(logits))


def judge_and_classify(discriminator: Discriminator, images: tf.Tensor, labels: tf.Tensor) -> Judgement:
    """Of a discriminator with an auxiliary classifier (AC-GAN)."""
    logits, class_logits = discriminator([images, labels], training=True)
    class_losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, class_logits)
    return Judgement(logits, class_losses[:, tf.newaxis])


def with_image_gradients(judge: Judge) -> Judge:
    """Return a function that judges as `judge` does and differentiates the logits, on the same forward pass.

    No image influences another one's logit, so the gradient of the sum holds the gradient of each. With
    `MinibatchStatistics` images of a group do, and the gradient is that of the sum, as in the code of StyleGAN2; no
    group has real and fake images.
    """

    def judge_and_differentiate(discriminator: Discriminator, images: tf.Tensor, labels: tf.Tensor) -> Judgement:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            judgement = judge(discriminator, images, labels)
            total = tf.reduce_sum(judgement.logits)
        return judgement._replace(image_gradients=tape.gradient(total, images))

    return judge_and_differentiate


def with_features(judge: Judge) -> Judge:
    """Return a function that judges as `judge` does, with a discriminator that returns logits and features."""

    def judge_and_keep_features(discriminator: Discriminator, images: tf.Tensor, labels: tf.Tensor) -> Judgement:
        features: list[tf.Tensor] = []

        def without_features(inputs: Sequence[tf.Tensor], training: bool) -> Any:
            logits, last = discriminator(inputs, training=training)
            features.append(last)
            return logits

        return judge(without_features, images, labels)._replace(features=features[0])

    return judge_and_keep_features


def hold_state(network: keras.Model) -> HeldState:
    """Return a function that makes scopes in which a network has the statistics and `u` that it has now.

    Calls inside such a scope start from the same values as the next call outside, so sigma is the same. Whatever they
    would write is dropped.
    """
    values = [(variable, tf.convert_to_tensor(variable)) for variable in network.non_trainable_variables]

    def scope() -> keras.StatelessScope:
        held = keras.StatelessScope()
        for update in values:
            held.add_update(update)
        return held

    return scope
