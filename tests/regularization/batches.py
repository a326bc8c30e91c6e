"""Batches for regularizers, made without networks."""

from typing import Any

import tensorflow as tf

from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.regularization import DiscriminatorBatch, GeneratorBatch

SIZE, LATENT_DIM = 4, 3


def numbers(seed: int = 1) -> RandomNumbers:
    return RandomNumbers(tf.constant([seed, 3], tf.int64), tf.range(SIZE), 2 * SIZE)


def images(seed: int) -> tf.Tensor:
    return tf.random.stateless_uniform([SIZE, 16, 16, 1], [seed, 7], -1.0, 1.0)


def discriminator_batch(**parts: Any) -> DiscriminatorBatch:
    """A batch with what a test needs, and random images."""
    names = DiscriminatorBatch.__dataclass_fields__
    given = {"real_images": images(0), "fake_images": images(1), "latents": tf.ones([SIZE, LATENT_DIM])}
    return DiscriminatorBatch(**(dict.fromkeys(names) | given | {"random_numbers": numbers()} | parts))


def generator_batch(**parts: Any) -> GeneratorBatch:
    """A batch for the generator's update."""
    given = {"images": images(1), "latents": tf.ones([SIZE, LATENT_DIM]), "random_numbers": numbers()}
    return GeneratorBatch(**(dict.fromkeys(GeneratorBatch.__dataclass_fields__) | given | parts))


def corner(pictures: tf.Tensor) -> tf.Tensor:
    """A discriminator that sees flips and translations."""
    weights = tf.random.stateless_normal(pictures.shape[1:], [5, 5])
    return tf.reduce_sum(pictures * weights, [1, 2, 3])[:, None]
