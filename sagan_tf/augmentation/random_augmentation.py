"""Augmentation of a batch with separate random numbers for each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from sagan_tf.augmentation.augmentations import AUGMENTATIONS, Augmentation
from sagan_tf.random_numbers import RandomNumbers

# Streams of the random numbers of an augmentation.
_STRENGTHS, _CHOICES = 0, 1


class RandomAugmentation:
    """A sequence of augmentations that is applied to every image.

    In differentiable augmentation (Zhao et al., NeurIPS 2020), real and fake images are augmented in the updates of
    both networks. The discriminator then cannot memorize the training images, and the augmentations do not appear in
    generated images.

    Args:
        augmentations: Augmentations, in the order in which they are applied.
    """

    def __init__(self, augmentations: Sequence[Augmentation]) -> None:
        self._augmentations = tuple(augmentations)

    def __call__(self, images: tf.Tensor, random_numbers: RandomNumbers) -> tf.Tensor:
        """Augment images.

        Args:
            images: Floating point [n, height, width, channels] in [-1, 1].
            random_numbers: Random numbers of the n images.

        Returns:
            Images of the same shape and dtype.
        """
        for index, augmentation in enumerate(self._augmentations):
            images = self._apply(augmentation, images, random_numbers.stream(index))
        return images

    def _apply(self, augmentation: Augmentation, images: tf.Tensor, random_numbers: RandomNumbers) -> tf.Tensor:
        draws = random_numbers.stream(_STRENGTHS).uniform([augmentation.num_draws])
        return augmentation.augment(images, draws)


class OccasionalAugmentation(RandomAugmentation):
    """A sequence of augmentations, each applied to each image with a probability, independently.

    With a probability of 1 the result is that of `RandomAugmentation` with the same random numbers; with 0 the images
    do not change.

    Args:
        augmentations: Augmentations, in the order in which they are applied.
        probability: Function that returns the probability, a float32 scalar in [0, 1].
    """

    def __init__(self, augmentations: Sequence[Augmentation], probability: Callable[[], tf.Tensor]) -> None:
        super().__init__(augmentations)
        self._probability = probability

    def _apply(self, augmentation: Augmentation, images: tf.Tensor, random_numbers: RandomNumbers) -> tf.Tensor:
        is_chosen = random_numbers.stream(_CHOICES).uniform([1, 1, 1]) < self._probability()
        return tf.where(is_chosen, super()._apply(augmentation, images, random_numbers), images)


def create_augmentation(names: Sequence[str], probability: Callable[[], tf.Tensor] | None = None) -> RandomAugmentation:
    """Create the augmentation of training images.

    Args:
        names: Keys of `AUGMENTATIONS`, in the order in which they are applied. If empty, images do not change.
        probability: See `OccasionalAugmentation`; None applies every augmentation to every image.
    """
    augmentations = [AUGMENTATIONS[name] for name in names]
    if probability is None:
        return RandomAugmentation(augmentations)
    return OccasionalAugmentation(augmentations, probability)
