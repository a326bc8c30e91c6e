"""Readings of a run's health: distances of samples and activity of the discriminator, beside the generator's ranks.

All readings are functions of the weights and of a fixed batch. Nothing is written, no random state moves, and no worker
or replica waits for another, so that training is bit-identical with and without them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from sagan_tf.data.images.preprocessing import scale_to_unit_range
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.generation.inference import generate_images
from sagan_tf.generation.latents import latents_of_seeds
from sagan_tf.keras_backend import keras
from sagan_tf.losses import AdversarialLoss
from sagan_tf.training.health import signs as signs
from sagan_tf.training.health.ranks import class_table_ranks, latent_ranks
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
    """Choose the images of the classes of which a fair sample of the data set has most, a few of each.

    Args:
        source: The training images.
        num_classes: 0 if labels are not used; all images then belong together.
        latent_dim: The length of a latent vector.
        seed: The seed of the first latent vector.

    Raises:
        UserError: The data set has no readable image.
    """
    examples = read_fair_sample(source, _SEARCHED_IMAGES)
    labels = [int(example["label"]) if num_classes else 0 for example in examples]
    per_class = _IMAGES_PER_CLASS if num_classes else _BATCH_SIZE
    ranked = [
        (rank, place)
        for label, _ in Counter(labels).most_common()
        for rank, place in enumerate([place for place, one in enumerate(labels) if one == label][:per_class])
    ][:_BATCH_SIZE]
    # An image of each class in turn: a discriminator with minibatch statistics compares neighbors, and neighbors in a
    # training batch are of different classes.
    places = [place for _, place in sorted(ranked, key=lambda one: one[0])]
    return FixedBatch(
        scale_to_unit_range(tf.stack([examples[place]["image"] for place in places])),
        tf.constant([labels[place] for place in places], tf.int32),
        latents_of_seeds(seed + np.arange(len(places)), latent_dim),
    )


def read_fair_sample(source: Source, count: int) -> list[dict[str, Any]]:
    """Read images from all of a data set; the first ones as they are stored may be of one class.

    Args:
        source: The data set.
        count: The largest number of images.

    Returns:
        Examples, see `Source.examples`, as NumPy arrays.

    Raises:
        UserError: The data set has no readable image.
    """
    part = source.part(0, max(1, source.num_examples // count))
    with part.skipped.raising_user_errors():
        examples = list(part.preview(count).as_numpy_iterator())
    if not examples:
        raise UserError(f"expected readable images, found none in {source.name}")
    return examples


class HealthReader:
    """Reads the scalars `health/...` of a state.

    Args:
        state: The networks.
        batch: Images, latents and labels that they are shown.
        loss: The adversarial loss of the run.
    """

    def __init__(self, state: TrainState, batch: FixedBatch, loss: AdversarialLoss) -> None:
        self._state = state
        self._batch = batch
        self._loss = loss
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
            **self._loss_share(real_logits, fake_logits),
        }

    def _loss_share(self, real_logits: np.ndarray, fake_logits: np.ndarray) -> dict[str, float]:
        guess = self._loss.loss_of_guess
        if guess is None:
            return {}
        return {signs.LOSS_SHARE: float(self._loss.discriminator(real_logits, fake_logits)) / guess}


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
