"""Options of the training images."""

from __future__ import annotations

import dataclasses

from sagan_tf.config.option import check_every_field, check_positive, option


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The training images."""

    dataset: str = option(
        "imagenet2012",
        "fashion_mnist_10k (packaged), folder (images in data_dir, a subfolder a class), tfrecord (made by "
        "tools/prepare_imagenet.py, in data_dir) or the name of a TFDS data set such as imagenet2012 or cifar10.",
    )
    data_dir: str = option("", "Where the data is; empty: TFDS's own default folder.", changeable=True)
    split: str = option("train", "Split to train on; folder has none.")
    held_out: str = option(
        "",
        "Directory of real images that are not trained on, or DATASET:SPLIT in data_dir, to measure how far the "
        "discriminator overfits; empty: not measured.",
        changeable=True,
    )
    random_flip: bool = option(False, "Flip every other image left to right, at random (best published: no).")
    shuffle_buffer_size: int = option(
        16384, "Encoded images held for shuffling where images are read in sequence (TFDS and tfrecord)."
    )

    def __post_init__(self) -> None:
        check_positive(self, "shuffle_buffer_size")
        check_every_field(self)
