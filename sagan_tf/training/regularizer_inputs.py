"""Inputs of the regularizers of the discriminator's update."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.regularization import DiscriminatorBatch
from sagan_tf.training.discriminator_outputs import DiscriminatorOutputs
from sagan_tf.training.gradients import split_batch

REGULARIZER_STREAM = 2**16
"""Stream of the regularizers' random numbers, far from the streams 0, 1, ... of the augmentations."""
Generate = Callable[[tf.Tensor], tf.Tensor]
"""Maps latents to fake images, in training mode and without changing any state."""


def create_discriminator_batch(
    inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    outputs: DiscriminatorOutputs,
    random_numbers: tuple[RandomNumbers, RandomNumbers],
    *,
    compute_logits: Callable[[tf.Tensor, tf.Tensor, RandomNumbers], tf.Tensor],
    compute_scores: Callable[[tf.Tensor], tf.Tensor],
    create_generate_function: Callable[[tf.Tensor], Generate],
) -> DiscriminatorBatch:
    """Collect the inputs of the regularizers from one call of the discriminator.

    Args:
        inputs: Images float32 [2 n, R, R, C] and labels int64 [2 n], the real ones first; latents float32
            [n, latent_dim] of the fake images.
        outputs: The outputs of the discriminator for these images.
        random_numbers: The random numbers of the augmentation of the real and of the fake images.
        compute_logits: Maps images, labels and random numbers to logits, without changing any state.
        compute_scores: Maps features to class scores, without changing any state.
        create_generate_function: Maps labels to a function from latents to fake images of these labels.
    """
    images, labels, latents = inputs
    (real_images, fake_images), (real_labels, fake_labels) = tf.split(images, 2), split_batch(labels, 2)
    real_logits, fake_logits = tf.split(outputs.logits, 2)
    gradients = outputs.image_gradients
    scores = None if outputs.features is None else compute_scores(tf.split(outputs.features, 2)[0])
    real_gradients, fake_gradients = (None, None) if gradients is None else tf.split(gradients, 2)
    real_numbers, fake_numbers = random_numbers
    return DiscriminatorBatch(
        real_images,
        fake_images,
        latents,
        fake_labels,
        real_labels,
        real_logits,
        fake_logits,
        real_gradients,
        fake_gradients,
        scores,
        compute_real_logits=lambda images: compute_logits(images, real_labels, real_numbers),
        compute_fake_logits=lambda images: compute_logits(images, fake_labels, fake_numbers),
        generate=create_generate_function(fake_labels),
        random_numbers=real_numbers.stream(REGULARIZER_STREAM),
    )
