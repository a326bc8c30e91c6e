"""Batches for regularizers that need no networks."""

from typing import Any

import tensorflow as tf

from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.regularization import DiscriminatorBatch, GeneratorBatch

SIZE, LATENT_DIM = 4, 3


def make_numbers(seed: int = 1) -> RandomNumbers:
    return RandomNumbers(tf.constant([seed, 3], tf.int64), tf.range(SIZE), 2 * SIZE)


def make_images(seed: int) -> tf.Tensor:
    return tf.random.stateless_uniform([SIZE, 16, 16, 1], [seed, 7], -1.0, 1.0)


def discriminator_batch(**parts: Any) -> DiscriminatorBatch:
    """Return a batch of random images in which `parts` are set."""
    names = DiscriminatorBatch.__dataclass_fields__
    defaults = {"real_images": make_images(0), "fake_images": make_images(1), "latents": tf.ones([SIZE, LATENT_DIM])}
    return DiscriminatorBatch(**(dict.fromkeys(names) | defaults | {"random_numbers": make_numbers()} | parts))


def generator_batch(**parts: Any) -> GeneratorBatch:
    """Return a batch of a generator update in which `parts` are set."""
    defaults = {"images": make_images(1), "latents": tf.ones([SIZE, LATENT_DIM]), "random_numbers": make_numbers()}
    return GeneratorBatch(**(dict.fromkeys(GeneratorBatch.__dataclass_fields__) | defaults | parts))


def discriminate(images: tf.Tensor) -> tf.Tensor:
    """Return logits that change with flips and translations."""
    weights = tf.random.stateless_normal(images.shape[1:], [5, 5])
    return tf.reduce_sum(images * weights, [1, 2, 3])[:, None]
