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
    defaults = {"real_images": make_images(0), "fake_images": make_images(1)}
    return _make_batch(DiscriminatorBatch, defaults | parts)


def generator_batch(**parts: Any) -> GeneratorBatch:
    """Return a batch of a generator update in which `parts` are set."""
    return _make_batch(GeneratorBatch, {"images": make_images(1)} | parts)


def _make_batch(kind: Any, parts: dict[str, Any]) -> Any:
    """Return a batch in which other parts than the given ones, the latents and the random numbers are None."""
    defaults = {"latents": tf.ones([SIZE, LATENT_DIM]), "random_numbers": make_numbers()}
    return kind(**(dict.fromkeys(kind.__dataclass_fields__) | defaults | parts))


def discriminate(images: tf.Tensor) -> tf.Tensor:
    """Return logits that change with flips and translations."""
    weights = tf.random.stateless_normal(images.shape[1:], [5, 5])
    return tf.reduce_sum(images * weights, [1, 2, 3])[:, None]
