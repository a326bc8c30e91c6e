"""Augmentation of a batch, each image with random numbers of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from sagan_tf.augmentation.augmentations import AUGMENTATIONS, Augmentation
from sagan_tf.random_numbers import RandomNumbers

_STRENGTHS, _CHOICES = 0, 1  # streams of each augmentation's random numbers


class RandomAugmentation:
    """Augmentations that are applied to every image, one after another.

    Differentiable augmentation (Zhao et al., NeurIPS 2020): real and fake images are augmented, in the discriminator's
    and the generator's update, so that the discriminator cannot memorize the training images and the augmentation does
    not show in the generated ones.

    Args:
        augmentations: Augmentations, in the order in which they are applied.
    """

    def __init__(self, augmentations: Sequence[Augmentation]) -> None:
        self._augmentations = tuple(augmentations)

    def __call__(self, images: tf.Tensor, random_numbers: RandomNumbers) -> tf.Tensor:
        """Augment images.

        Args:
            images: Floating point [n, height, width, channels] in [-1, 1].
            random_numbers: Random numbers for the n images.

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
    """Augmentations each of which is applied to each image with a probability, independently.

    With a probability of 1 it augments as `RandomAugmentation` does with the same random numbers, with 0 not at all.

    Args:
        augmentations: Augmentations, in the order in which they are applied.
        probability: Returns the probability, a float32 scalar in [0, 1].
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
        names: Keys of `AUGMENTATIONS`, in their order; none of them leaves images as they are.
        probability: See `OccasionalAugmentation`; None applies every augmentation to every image.
    """
    augmentations = [AUGMENTATIONS[name] for name in names]
    if probability is None:
        return RandomAugmentation(augmentations)
    return OccasionalAugmentation(augmentations, probability)
