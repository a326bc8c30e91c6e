"""Differentiable augmentations: pure functions of images and uniform random numbers (Zhao et al., NeurIPS 2020)."""

from sagan_tf.augmentation.augmentations import AUGMENTATIONS, Augmentation

__all__ = ["AUGMENTATIONS", "Augmentation"]
