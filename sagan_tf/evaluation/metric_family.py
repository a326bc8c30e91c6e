"""Families of metrics: what a metric requires, and how its value is computed and described."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from sagan_tf.evaluation.class_values import ClassValues
from sagan_tf.features.statistics import IMAGES, ImageSetStatistics

Value = float | dict[str, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetricFamily:
    """Metrics that differ only in the number of images.

    Attributes:
        compute: Computes the value, or the values of classes, from the statistics of the images, of the reference and,
            if `has_held_out`, of the held-out images.
        required: Statistics of the images that the metric requires.
        has_reference: Whether the metric compares the images with the reference, and requires the same statistics of
            it.
        lower_is_better: Whether lower values are better; None if neither lower nor higher values are.
        protocol: Description of the formula, for records.
        uses_inception: True for a name that implies Inception features, False for one that implies other features,
            None for a name without a fixed extractor.
        min_images: Smallest number of images that the metric is defined for.
        is_per_class: Whether images are compared with the reference within each class.
        has_equal_sizes: Whether equally many images and reference images are used, as many as the smaller set has.
        is_kernel_distance: Whether it is TF-GAN's kernel distance, which works in blocks.
        has_held_out: Whether the metric also requires these statistics of real images that were not trained on.
        min_class_images: Smallest number of images of each class, on each side, for a metric within classes.
        omits_small_classes: Whether a class with fewer images has no value; otherwise it is an error.
    """

    compute: Callable[..., Value | ClassValues]
    required: tuple[str, ...]
    has_reference: bool = False
    lower_is_better: bool | None
    protocol: str
    uses_inception: bool | None = None
    min_images: int = 2
    is_per_class: bool = False
    has_equal_sizes: bool = False
    is_kernel_distance: bool = False
    has_held_out: bool = False
    min_class_images: int = 2
    omits_small_classes: bool = False

    @property
    def required_of_reference(self) -> tuple[str, ...]:
        """Statistics of the reference that the metric requires."""
        return self.required if self.has_reference else ()

    @property
    def uses_extractor(self) -> bool:
        """Whether the metric requires features or class probabilities, and not only images."""
        return any(name != IMAGES for name in self.required)

    def get_labels(self, statistics: ImageSetStatistics) -> np.ndarray:
        """Return the labels of the images or features that the metric compares within classes, int32 `[n]`."""
        return statistics.image_labels if IMAGES in self.required else statistics.labels

    def compute_value(
        self, images: ImageSetStatistics, reference: ImageSetStatistics, held_out: ImageSetStatistics
    ) -> Value | ClassValues:
        """Compute the value from statistics of three image sets; those that the metric does not require are ignored."""
        return self.compute(images, reference, *([held_out] if self.has_held_out else []))
