"""Readings of a run's health: sample distances, discriminator activity and ranks.

All readings are functions of the weights and of a fixed batch. They write nothing, change no random state, and let no
worker or replica wait, so that training is bit-identical with and without them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from sagan_tf.augmentation import RandomAugmentation
from sagan_tf.data.images.preprocessing import scale_to_unit_range
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.generation.inference import generate_images
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.keras_backend import keras
from sagan_tf.losses import AdversarialLoss
from sagan_tf.training.health import signs
from sagan_tf.training.health.fixed_augmentation import FixedAugmentation
from sagan_tf.training.health.ranks import compute_class_table_ranks, compute_latent_ranks
from sagan_tf.training.state import TrainState

_NUM_CANDIDATES = 256
"""Training images from which the fixed batch is chosen."""
_BATCH_SIZE, _IMAGES_PER_CLASS = 24, 6
"""Fewer images than in a sample grid. Six images of a class have fifteen pairs."""


class FixedBatch(NamedTuple):
    """Real images, and the inputs of as many fake images.

    Attributes:
        real_images: float32 [batch, R, R, C] in [-1, 1].
        labels: int32 [batch], labels of the real and of the fake images; 0 if labels are not used.
        latents: float32 [batch, latent_dim].
    """

    real_images: tf.Tensor
    labels: tf.Tensor
    latents: tf.Tensor


def choose_fixed_batch(source: Source, *, num_classes: int, latent_dim: int, seed: int) -> FixedBatch:
    """Choose a few images of each of the most frequent classes.

    The classes are counted in a representative sample of the data set.

    Args:
        source: The training images.
        num_classes: The number of classes; 0 if labels are not used, and all images then form one class.
        latent_dim: The length of a latent vector.
        seed: The seed of the first latent vector.

    Returns:
        The batch. It has at most 24 images, and at most 6 of a class if labels are used.

    Raises:
        UserError: The data set has no readable image.
    """
    examples = read_representative_sample(source, _NUM_CANDIDATES)
    labels = [int(example["label"]) if num_classes else 0 for example in examples]
    per_class = _IMAGES_PER_CLASS if num_classes else _BATCH_SIZE
    ranked = [
        (rank, index)
        for label, _ in Counter(labels).most_common()
        for rank, index in enumerate(np.flatnonzero(np.equal(labels, label))[:per_class].tolist())
    ][:_BATCH_SIZE]
    # Take an image of each class in turn. A discriminator with minibatch statistics compares neighbors, and neighbors
    # in a training batch have different classes.
    indices = [index for _, index in sorted(ranked, key=lambda pair: pair[0])]
    return FixedBatch(
        scale_to_unit_range(tf.stack([examples[index]["image"] for index in indices])),
        tf.constant([labels[index] for index in indices], tf.int32),
        draw_latents_from_seeds(seed + np.arange(len(indices)), latent_dim),
    )


def read_representative_sample(source: Source, count: int) -> list[dict[str, Any]]:
    """Read images from all parts of a data set.

    The images that are stored first may all have one class.

    Args:
        source: The data set.
        count: The largest number of images.

    Returns:
        Examples (see `Source.examples`) as NumPy arrays.

    Raises:
        UserError: The data set has no readable image.
    """
    part = source.part(0, max(1, source.num_examples // count))
    with part.skipped.raise_user_errors():
        examples = list(part.preview(count).as_numpy_iterator())
    if not examples:
        raise UserError(f"{source.name}: none of its images can be read; at least one is needed")
    return examples


class HealthReader:
    """Reader of the scalars `health/...` of a state.

    Args:
        state: The state with the networks.
        batch: The images, latents and labels for which the networks are read.
        loss: The adversarial loss of the run.
        augmentation: The augmentation in training.
        seed: The seed of the augmentation. Real and fake images have the same random numbers.
    """

    def __init__(
        self,
        state: TrainState,
        batch: FixedBatch,
        loss: AdversarialLoss,
        *,
        augmentation: RandomAugmentation,
        seed: int,
    ) -> None:
        self._state = state
        self._batch = batch
        self._loss = loss
        self._augment = FixedAugmentation(augmentation, seed=seed, num_rows=len(batch.labels))
        self._real_distance = compute_distance_within_classes(batch.real_images.numpy(), batch.labels.numpy())
        discriminator = state.discriminator
        units = discriminator.get_layer("activation").output
        # Created once: a new Keras model for each reading would take seconds, and memory that is freed late.
        self._units_and_logits = keras.Model(discriminator.inputs, [units, tf.nest.flatten(discriminator.outputs)[0]])

    def __call__(self) -> dict[str, float]:
        """Return the scalars by name."""
        return {
            **compute_latent_ranks(self._state.generator),
            **compute_class_table_ranks(self._state.generator),
            **self._read_distances(),
            **self._read_discriminator(),
        }

    def _read_distances(self) -> dict[str, float]:
        if not self._real_distance:
            return {}  # no class has two different images in the batch
        labels = self._batch.labels
        samples = generate_images(self._state.generator_ema, self._batch.latents, labels)
        distance = compute_distance_within_classes(samples, labels.numpy())
        return {signs.DISTANCE_RATIO: distance / self._real_distance}

    def _read_discriminator(self) -> dict[str, float]:
        real_images, labels, latents = self._batch
        fake_images = tf.constant(generate_images(self._state.generator, latents, labels))
        outputs = [
            [output.numpy() for output in self._units_and_logits([self._augment(images), labels], training=False)]
            for images in (real_images, fake_images)
        ]
        (real_units, real_logits), (fake_units, fake_logits) = outputs
        # Units of a convolutional discriminator can be below 0 and still have a gradient.
        largest = np.maximum(*(np.abs(units).max(axis=(0, 1, 2)) for units in (real_units, fake_units)))
        return {
            signs.DEAD_UNITS: float(np.mean(largest == 0.0)),
            signs.LOGIT_DEVIATION: float(np.std(np.concatenate([real_logits, fake_logits]))),
            # The probability that the logit of a real image is above that of a fake image; 1/2 for equal logits.
            signs.SEPARATION: float(np.mean(np.sign(real_logits - fake_logits.T)) / 2 + 0.5),
            **self._compute_loss_share(real_logits, fake_logits),
        }

    def _compute_loss_share(self, real_logits: np.ndarray, fake_logits: np.ndarray) -> dict[str, float]:
        constant_loss = self._loss.constant_logit_loss
        if constant_loss is None:
            return {}
        return {signs.LOSS_SHARE: float(self._loss.discriminator(real_logits, fake_logits)) / constant_loss}


def compute_distance_within_classes(images: np.ndarray, labels: np.ndarray) -> float:
    """Compute the mean distance of two images of the same class.

    The distance is the root mean square of their difference.

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
