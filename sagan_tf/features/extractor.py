"""Interface of extractors: networks from images to features and class logits, with their preprocessing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from sagan_tf.data.images.preprocessing import scale_to_unit_range
from sagan_tf.errors import UserError


class ExtractorOutputs(NamedTuple):
    """Features float32 `[batch, d]` and class logits float32 `[batch, classes]` of a batch."""

    features: tf.Tensor
    logits: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Extractor:
    """A network that extracts features, with the preprocessing of its images: part of the protocol of every metric.

    Attributes:
        name: Name for messages.
        identifier: Name and digest of the weights. Extractors with different features have different identifiers.
        size: Height and width of the network's images; None if it takes any size.
        channels: Channels of the network's images; None if it takes any number.
        class_names: Names of the classes of its logits; empty if they are not known.
        network: A function from float32 `[batch, height, width, channels]` in [-1, 1] to `ExtractorOutputs`.
    """

    name: str
    identifier: str
    size: tuple[int, int] | None
    channels: int | None
    class_names: tuple[str, ...]
    network: Callable[[tf.Tensor], ExtractorOutputs]

    def __call__(self, images: tf.Tensor) -> ExtractorOutputs:
        """Return the outputs for images uint8 `[batch, height, width, channels]`."""
        x = scale_to_unit_range(images)
        if self.channels == 3 and x.shape[-1] == 1:
            x = tf.repeat(x, 3, axis=-1)
        if self.size is not None and tuple(x.shape[1:3]) != self.size:
            is_reduced = self.size[0] < x.shape[1] or self.size[1] < x.shape[2]
            x = tf.image.resize(x, self.size, method="bilinear", antialias=is_reduced)
        return self.network(x)

    @property
    def preprocessing(self) -> str:
        """Description of the preprocessing in `__call__`, for records."""
        # References are found by this text, so that a changed word would make them be computed again.
        size = "its own size" if self.size is None else f"{self.size[0]}x{self.size[1]}"
        return f"uint8, scaled to [-1, 1], bilinear (half-pixel centres, antialiased when reduced) to {size}"

    def check_channels(self, image_channels: int) -> None:
        """Raise UserError unless images with so many channels can be preprocessed."""
        if self.channels not in (None, image_channels) and not (self.channels == 3 and image_channels == 1):
            raise UserError(
                f"extractor: expected images of {self.channels} channels for {self.name}, received {image_channels}"
            )


def _extract_nothing(images: tf.Tensor) -> ExtractorOutputs:
    empty = tf.zeros([tf.shape(images)[0], 0])
    return ExtractorOutputs(empty, empty)


NO_EXTRACTOR = Extractor("none", "none", None, None, (), _extract_nothing)
"""Stands for an extractor where no metric uses one: its features have no elements."""
