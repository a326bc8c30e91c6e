"""Differentiable augmentations: pure functions of images and uniform random numbers (Zhao et al., NeurIPS 2020)."""

from sagan_tf.augmentation.augmentations import AUGMENTATIONS, Augmentation
from sagan_tf.augmentation.random_augmentation import (
    OccasionalAugmentation,
    RandomAugmentation,
    create_augmentation,
)

__all__ = ["AUGMENTATIONS", "Augmentation", "OccasionalAugmentation", "RandomAugmentation", "create_augmentation"]
