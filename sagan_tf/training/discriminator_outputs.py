"""Calls of the discriminator in training mode, and what they return."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from sagan_tf.keras_backend import keras


class DiscriminatorOutputs(NamedTuple):
    """Outputs of the discriminator for a batch of images.

    Attributes:
        logits: float32 [batch, 1].
        class_losses: float32 [batch, 1], cross-entropy of the auxiliary classifier; zeros without a classifier.
        image_gradients: float32 [batch, R, R, C], gradient of each logit with respect to its image; None unless
            `add_image_gradients` was applied.
        features: float32 [batch, channels], the input of the discriminator's last layers; None unless `add_features`
            was applied.
    """

    logits: tf.Tensor
    class_losses: tf.Tensor
    image_gradients: tf.Tensor | None = None
    features: tf.Tensor | None = None


class Discriminator(Protocol):
    """A discriminator network, or a function with the same arguments.

    Maps images and labels to logits, or to logits and further outputs.
    """

    def __call__(self, inputs: Sequence[tf.Tensor], training: bool) -> Any:
        """Call the network."""


StateScope = Callable[[], contextlib.AbstractContextManager[Any]]
"""Opens a scope in which calls of a network do not change its moving statistics and `u`."""
DiscriminatorCall = Callable[[Discriminator, tf.Tensor, tf.Tensor], DiscriminatorOutputs]
"""Calls a discriminator on images and labels."""


def call_discriminator(discriminator: Discriminator, images: tf.Tensor, labels: tf.Tensor) -> DiscriminatorOutputs:
    """Call a discriminator that returns logits only.

    Args:
        discriminator: The discriminator.
        images: float32 [batch, R, R, C] in [-1, 1].
        labels: int32 [batch].

    Returns:
        The outputs; the class losses are zeros.
    """
    logits = discriminator([images, labels], training=True)
    return DiscriminatorOutputs(logits, tf.zeros_like(logits))


def call_with_classifier(discriminator: Discriminator, images: tf.Tensor, labels: tf.Tensor) -> DiscriminatorOutputs:
    """Call a discriminator that has an auxiliary classifier (AC-GAN).

    Args:
        discriminator: The discriminator.
        images: float32 [batch, R, R, C] in [-1, 1].
        labels: int32 [batch].

    Returns:
        The outputs with class losses.
    """
    logits, class_logits = discriminator([images, labels], training=True)
    class_losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, class_logits)
    return DiscriminatorOutputs(logits, class_losses[:, tf.newaxis])


def add_image_gradients(call: DiscriminatorCall) -> DiscriminatorCall:
    """Return a call that also computes `image_gradients`, in the same forward pass.

    The gradient of the sum of the logits holds the gradient of each logit, because no image influences the logit of
    another image. With `MinibatchStatistics`, images of a group influence each other, and the result is the gradient of
    the sum, as in the code of StyleGAN2; no group has both real and fake images.

    Args:
        call: The call to extend.
    """

    def call_and_differentiate(
        discriminator: Discriminator, images: tf.Tensor, labels: tf.Tensor
    ) -> DiscriminatorOutputs:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            outputs = call(discriminator, images, labels)
            total = tf.reduce_sum(outputs.logits)
        return outputs._replace(image_gradients=tape.gradient(total, images))

    return call_and_differentiate


def add_features(call: DiscriminatorCall) -> DiscriminatorCall:
    """Return a call that also returns `features`.

    Args:
        call: The call to extend. The discriminator that the result is called with returns logits and features.
    """

    def call_and_keep_features(
        discriminator: Discriminator, images: tf.Tensor, labels: tf.Tensor
    ) -> DiscriminatorOutputs:
        features: list[tf.Tensor] = []

        def without_features(inputs: Sequence[tf.Tensor], training: bool) -> Any:
            logits, last = discriminator(inputs, training=training)
            features.append(last)
            return logits

        return call(without_features, images, labels)._replace(features=features[0])

    return call_and_keep_features


def hold_state(network: keras.Model) -> StateScope:
    """Return a function that opens scopes in which a network has its present state.

    The state is the moving statistics and `u`. Each call inside the scope starts from these values, as does the next
    call outside, so that sigma is the same in all of them. Updates of the state inside the scope are dropped.

    Args:
        network: The network.
    """
    values = [(variable, tf.convert_to_tensor(variable)) for variable in network.non_trainable_variables]

    def scope() -> keras.StatelessScope:
        held = keras.StatelessScope()
        for update in values:
            held.add_update(update)
        return held

    return scope
