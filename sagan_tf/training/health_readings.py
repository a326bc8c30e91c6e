"""Readings of a run's health: ranks of the generator, distances of samples, activity of the discriminator.

All readings are functions of the weights and of a fixed batch. Nothing is written, no random state moves, and no worker
or replica waits for another, so that training is bit-identical with and without them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sagan_tf.data.preprocessing import scale_to_unit_range
from sagan_tf.data.source import Source
from sagan_tf.keras_backend import keras
from sagan_tf.layers import ConditionalBatchNormalization, SpectralNormalization
from sagan_tf.layers.stable_rank import stable_rank
from sagan_tf.training import health_signs as signs
from sagan_tf.training.sampling import generate_images, latents_of_seeds
from sagan_tf.training.state import TrainState

_SEARCHED_IMAGES = 256
"""Training images among which those of the fixed batch are chosen."""
_BATCH_SIZE, _IMAGES_PER_CLASS = 24, 6
"""Fewer images than a sample grid has. Six images of a class make fifteen pairs."""


class FixedBatch(NamedTuple):
    """Real images, and the inputs of as many generated ones.

    Attributes:
        real_images: float32 [batch, R, R, C] in [-1, 1].
        labels: int32 [batch], of the real and of the generated images; 0 where labels are not used.
        latents: float32 [batch, latent_dim].
    """

    real_images: tf.Tensor
    labels: tf.Tensor
    latents: tf.Tensor


def choose_batch(source: Source, *, num_classes: int, latent_dim: int, seed: int) -> FixedBatch:
    """Choose the images of the classes of which the data set's first images have most, a few of each.

    Args:
        source: The training images.
        num_classes: 0 if labels are not used; all images then belong together.
        latent_dim: The length of a latent vector.
        seed: The seed of the first latent vector.
    """
    examples = list(source.preview(_SEARCHED_IMAGES).as_numpy_iterator())
    labels = [int(example["label"]) if num_classes else 0 for example in examples]
    per_class = _IMAGES_PER_CLASS if num_classes else _BATCH_SIZE
    places = [
        place
        for label, _ in Counter(labels).most_common()
        for place in [place for place, one in enumerate(labels) if one == label][:per_class]
    ][:_BATCH_SIZE]
    return FixedBatch(
        scale_to_unit_range(tf.stack([examples[place]["image"] for place in places])),
        tf.constant([labels[place] for place in places], tf.int32),
        latents_of_seeds(seed + np.arange(len(places)), latent_dim),
    )


class HealthReader:
    """Reads the scalars `health/...` of a state.

    Args:
        state: The networks.
        batch: Images, latents and labels that they are shown.
    """

    def __init__(self, state: TrainState, batch: FixedBatch) -> None:
        self._state = state
        self._batch = batch
        self._real_distance = mean_distance_within_classes(batch.real_images.numpy(), batch.labels.numpy())
        discriminator = state.discriminator
        units = discriminator.get_layer("activation").output
        # Once: a Keras model made anew at every reading would take seconds, and memory that comes back late.
        self._units_and_logits = keras.Model(discriminator.inputs, [units, tf.nest.flatten(discriminator.outputs)[0]])

    def __call__(self) -> dict[str, float]:
        return {
            **latent_ranks(self._state.generator),
            **class_table_ranks(self._state.generator),
            **self._distances(),
            **self._discriminator(),
        }

    def _distances(self) -> dict[str, float]:
        if not self._real_distance:
            return {}  # No class has two different images among those that were looked at.
        labels = self._batch.labels
        samples = generate_images(self._state.generator_ema, self._batch.latents, labels)
        distance = mean_distance_within_classes(samples, labels.numpy())
        return {signs.DISTANCE_RATIO: distance / self._real_distance}

    def _discriminator(self) -> dict[str, float]:
        real_images, labels, latents = self._batch
        fake_images = tf.constant(generate_images(self._state.generator, latents, labels))
        read = [
            [output.numpy() for output in self._units_and_logits([images, labels], training=False)]
            for images in (real_images, fake_images)
        ]
        (real_units, real_logits), (fake_units, fake_logits) = read
        largest = np.maximum(*(units.max(axis=(0, 1, 2)) for units in (real_units, fake_units)))
        return {
            signs.DEAD_UNITS: float(np.mean(largest <= 0.0)),
            signs.LOGIT_DEVIATION: float(np.std(np.concatenate([real_logits, fake_logits]))),
            # The probability that a real image's logit is above a generated one's: 1/2 for a guess.
            signs.SEPARATION: float(np.mean(np.sign(real_logits - fake_logits.T)) / 2 + 0.5),
        }


def latent_ranks(generator: keras.Model) -> dict[str, float]:
    """Read the stable rank and the largest singular values of the kernel that the latents are multiplied with."""
    layer = generator.get_layer("dense")
    kernel = layer.layer.kernel if isinstance(layer, SpectralNormalization) else layer.kernel
    matrix = tf.convert_to_tensor(kernel)
    values = tf.linalg.svd(matrix, compute_uv=False).numpy().tolist()
    rank = float(stable_rank(matrix))
    largest = dict(zip(signs.SINGULAR_VALUES, values, strict=False))
    return {signs.LATENT_RANK: rank, signs.LATENT_RANK_SHARE: rank / len(values), **largest}


def class_table_ranks(generator: keras.Model) -> dict[str, float]:
    """Read the smallest stable rank of the tables with a row a class, less their mean over the classes.

    Tables whose rows are all equal, as at the beginning, have none and do not count.
    """
    ranks = [float(stable_rank(table - tf.reduce_mean(table, axis=0))) for table in _class_tables(generator)]
    positive = [rank for rank in ranks if rank > 0]
    return {signs.CLASS_TABLE_RANK: min(positive)} if positive else {}


def _class_tables(generator: keras.Model) -> Iterator[tf.Tensor]:
    for layer in generator._flatten_layers():  # Keras has no public way to reach nested layers
        if isinstance(layer, ConditionalBatchNormalization):
            yield from (tf.convert_to_tensor(layer.gain), tf.convert_to_tensor(layer.bias))


def mean_distance_within_classes(images: np.ndarray, labels: np.ndarray) -> float:
    """Compute the mean distance of two images of one class: the root mean square of their difference.

    Args:
        images: float32 [n, R, R, C].
        labels: int32 [n].

    Returns:
        The mean over all pairs of all classes; 0 if no class has two images.
    """
    distances = [
        np.sqrt(np.mean(np.square(images[first] - images[second])))
        for first, second in itertools.combinations(range(len(images)), 2)
        if labels[first] == labels[second]
    ]
    return float(np.mean(distances)) if distances else 0.0
