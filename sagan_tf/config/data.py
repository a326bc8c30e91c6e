"""Options of the training images."""

from __future__ import annotations

import dataclasses

from sagan_tf.config.image_selection import (
    check_selection,
    classes_option,
    data_fraction_option,
    exclude_classes_option,
    max_images_per_class_option,
)
from sagan_tf.config.option import check_every_field, check_positive, option
from sagan_tf.config.option_names import DATASETS, describe_names
from sagan_tf.config.shared_options import data_dir_option

_OTHER_DATASETS = {"the name of a TFDS data set": "such as imagenet2012 or cifar10"}


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The training images."""

    dataset: str = option("imagenet2012", f"Data set: {describe_names(DATASETS | _OTHER_DATASETS)}.")
    data_dir: str = data_dir_option("the default directory of TFDS")
    split: str = option("train", "Split to train on; not used with --dataset=folder.")
    classes: tuple[str, ...] = classes_option()
    exclude_classes: tuple[str, ...] = exclude_classes_option()
    max_images_per_class: int = max_images_per_class_option()
    data_fraction: float = data_fraction_option()
    held_out: str = option(
        "",
        "Directory of real images that are not used for training, or DATASET:SPLIT in data_dir. The health check "
        "measures with them how far the discriminator overfits, and some metrics compare with them. Empty: not "
        "measured.",
        changeable=True,
    )
    random_flip: bool = option(
        False, "Flip each image left to right with probability 1/2 (best published run: no flips)."
    )
    shuffle_buffer_size: int = option(
        16384,
        "Number of encoded images in the shuffle buffer, for data sets that are read in sequence (TFDS and tfrecord).",
    )

    def __post_init__(self) -> None:
        check_positive(self, "shuffle_buffer_size")
        check_selection(self)
        check_every_field(self)
