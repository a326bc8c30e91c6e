"""Preparation of a large data set: images cropped, resized and stored once in shuffled, sharded record files.

    python tools/prepare_imagenet.py --dataset=imagenet2012 --data_dir=TFDS_DIR --split=train --output=DIR
    python tools/prepare_imagenet.py --dataset=folder --data_dir=IMAGES --split=train --output=DIR --resolution=128

Training then reads DIR with `--dataset=tfrecord --data_dir=DIR --split=train`. DIR/train appears when all of it has
been written. After an interruption, the same command continues with the shards that were not finished. The result has
the same bytes, whatever the number of interruptions and workers.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `tools`, when this file is run as a script

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config.dependent_options import PREPARE_IMAGENET, check_dependent_fields
from sagan_tf.config.image_selection import (
    SELECTION_OPTIONS,
    check_selection,
    classes_option,
    data_fraction_option,
    exclude_classes_option,
    max_images_per_class_option,
)
from sagan_tf.config.option import check_at_least_zero, check_every_field, check_given, check_positive, option
from sagan_tf.config.shared_options import data_dir_option
from sagan_tf.environment.cores import count_usable_cores
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_directory
from sagan_tf.tensorflow_paths import check_tensorflow_path
from tools.preparation.record_set import (
    DEFAULT_IMAGE_FORMAT,
    DEFAULT_JPEG_QUALITY,
    IMAGES_PER_FILE,
    RecordFormat,
    describe_record_set,
    write_record_set,
)


@dataclasses.dataclass(frozen=True)
class PreparationOptions:
    """The data set, and how it is stored."""

    dataset: str = option("imagenet2012", "folder, or the name of a prepared TFDS data set.")
    data_dir: str = data_dir_option("the default directory of TFDS")
    split: str = option("train", "Split to read, and name of the directory in --output.")
    classes: tuple[str, ...] = classes_option()
    exclude_classes: tuple[str, ...] = exclude_classes_option()
    max_images_per_class: int = max_images_per_class_option()
    data_fraction: float = data_fraction_option()
    output: str = option("", "Directory to write to.")
    resolution: int = option(128, "Height and width to store.")
    image_channels: int = option(3, "1: gray, 3: color, 4: color and alpha.")
    num_shards: int = option(0, f"Number of files; 0: one per {IMAGES_PER_FILE} images.")
    format: str = option(DEFAULT_IMAGE_FORMAT, "png is lossless and larger.", choices=("jpeg", "png"))
    quality: int = option(DEFAULT_JPEG_QUALITY, "JPEG quality, 1 to 100.")
    shuffle_buffer_size: int = option(16384, "Records to shuffle if TFDS has not shuffled them.")
    num_workers: int | None = option(None, "Number of processes; unset: one per core.")

    def __post_init__(self) -> None:
        check_every_field(self)
        check_given(self, "output")
        check_selection(self)
        check_positive(self, "resolution", "shuffle_buffer_size")
        check_at_least_zero(self, "num_shards")
        if self.num_workers is not None:
            check_positive(self, "num_workers")
        if self.image_channels not in (1, 3, 4):
            raise UserError(f"image_channels: expected 1, 3 or 4, received {self.image_channels}")
        if self.image_channels == 4 and self.format == "jpeg":
            raise UserError("image_channels: expected --format=png for 4 channels, received jpeg, which has no alpha")
        if self.split in ("", ".", "..") or os.path.basename(self.split) != self.split:
            raise UserError(
                f"split: expected the name of a split and of a directory in --output, received {self.split!r}"
            )
        if not 1 <= self.quality <= 100:
            raise UserError(f"quality: expected 1 to 100, received {self.quality}")
        check_dependent_fields(PREPARE_IMAGENET, self)


def main(options: PreparationOptions) -> None:
    """Write the record files, and describe them on standard output.

    Raises:
        UserError: The data set cannot be used, or the output cannot be written.
    """
    output = Path(os.path.expanduser(options.output)) / options.split
    check_tensorflow_path("output", output)
    check_can_write_directory(output.parent, "output")
    load_tensorflow()
    from sagan_tf.config import DataConfig
    from sagan_tf.data.sources.registry import open_source

    data_config = DataConfig(
        dataset=options.dataset,
        data_dir=options.data_dir,
        split=options.split,
        shuffle_buffer_size=options.shuffle_buffer_size,
        **{name: getattr(options, name) for name in SELECTION_OPTIONS},
    )
    source = open_source(data_config, resolution=options.resolution, image_channels=options.image_channels)
    names = ("dataset", "data_dir", "split", "resolution", "image_channels", "format", "quality", "shuffle_buffer_size")
    settings = {f"--{name}": getattr(options, name) for name in names}
    record_format = RecordFormat(options.split, options.num_shards, options.format, options.quality)
    metadata = write_record_set(source, output, record_format, settings, options.num_workers or count_usable_cores())
    print(describe_record_set(output, metadata, source))


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run_command_line("tools/prepare_imagenet.py", __doc__, main, PreparationOptions, argv=argv)


if __name__ == "__main__":
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # leave the memory of the GPUs to training
    sys.exit(run())
