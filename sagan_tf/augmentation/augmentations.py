"""Registry of augmentations; add one as a module with its function and one entry of `AUGMENTATIONS`.

Every augmentation can be differentiated with respect to the images any number of times, and has static shapes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from sagan_tf.augmentation.color import change_color
from sagan_tf.augmentation.cutout import cut_out
from sagan_tf.augmentation.flip import flip
from sagan_tf.augmentation.translation import translate


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """A differentiable augmentation.

    Attributes:
        augment: Takes images, floating point [batch, height, width, channels] in [-1, 1], and random numbers, float32
            [batch, num_draws] in [0, 1); returns images of the same shape and dtype. Each image depends only on its own
            random numbers.
        num_draws: Number of random numbers per image.
    """

    augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    num_draws: int


AUGMENTATIONS: dict[str, Augmentation] = {
    "color": Augmentation(change_color, num_draws=3),
    "translation": Augmentation(translate, num_draws=2),
    "cutout": Augmentation(cut_out, num_draws=2),
    "flip": Augmentation(flip, num_draws=1),
}
