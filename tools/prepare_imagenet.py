"""Preparation of a large data set: images cropped, resized and stored once in shuffled, sharded record files.

    python tools/prepare_imagenet.py --dataset=imagenet2012 --data_dir=TFDS_DIR --split=train --output=DIR
    python tools/prepare_imagenet.py --dataset=folder --data_dir=IMAGES --split=train --output=DIR --resolution=128

Training then reads DIR with `--dataset=tfrecord --data_dir=DIR --split=train`. DIR/train appears when all of it has
been written. After an interruption, the same command continues with the shards that were not finished. The result has
the same bytes, whatever the number of interruptions and workers.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `tools`, when this file is run as a script

from sagan_tf.cli.console import run_command
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config.dependent_options import PREPARE_IMAGENET, check_dependent_options
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_directory
from sagan_tf.tensorflow_paths import check_tensorflow_path
from sagan_tf.text import make_printable
from tools.preparation.record_set import IMAGES_PER_FILE, RecordFormat, describe_record_set, write_record_set

NAME = "tools/prepare_imagenet.py"
INTERRUPTED_STATUS = 130
"""Exit status after Ctrl-C, as in shells."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; exit with status 2 if it is invalid."""
    parser = _create_parser()
    options = parser.parse_args(arguments)
    if options.image_channels == 4 and options.format == "jpeg":
        parser.error("--image_channels=4: expected --format=png, since JPEG has no alpha")
    if min(options.resolution, options.num_workers, options.shuffle_buffer_size) < 1 or options.num_shards < 0:
        parser.error(
            "expected --resolution, --num_workers and --shuffle_buffer_size of at least 1, and --num_shards of at "
            "least 0"
        )
    if options.split in ("", ".", "..") or os.path.basename(options.split) != options.split:
        parser.error(
            f"--split: expected the name of a split and of a directory in --output, received {options.split!r}"
        )
    if not 1 <= options.quality <= 100:
        parser.error(f"--quality: expected 1 to 100, received {options.quality}")
    try:
        defaults = {name: parser.get_default(name) for name in vars(options)}
        check_dependent_options(PREPARE_IMAGENET, vars(options), defaults)
    except UserError as error:
        parser.error(str(error))
    return options


def _create_parser() -> argparse.ArgumentParser:
    """Create the parser of the command line."""
    parser = argparse.ArgumentParser(description="Store the images of a data set, cropped and resized, in records.")
    parser.add_argument("--dataset", default="imagenet2012", help="folder, or the name of a prepared TFDS data set")
    parser.add_argument("--data_dir", default="", help="directory of the data; empty: the default directory of TFDS")
    parser.add_argument("--split", default="train", help="split to read, and name of the directory in --output")
    parser.add_argument("--output", required=True, type=Path, help="directory to write to")
    parser.add_argument("--resolution", type=int, default=128, help="height and width to store")
    parser.add_argument("--image_channels", type=int, default=3, choices=(1, 3, 4))
    parser.add_argument("--num_shards", type=int, default=0, help=f"files; 0: one per {IMAGES_PER_FILE} images")
    parser.add_argument("--format", default="jpeg", choices=("jpeg", "png"), help="png is lossless and larger")
    parser.add_argument("--quality", type=int, default=95, help="JPEG quality, 1 to 100")
    parser.add_argument(
        "--shuffle_buffer_size", type=int, default=16384, help="records to shuffle if TFDS has not shuffled them"
    )
    parser.add_argument(
        "--num_workers", type=int, default=count_cores(), help="number of processes; default: one per core"
    )
    return parser


def count_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare(options: argparse.Namespace, output: Path) -> str:
    """Write the record files.

    Args:
        options: Parsed command line.
        output: Directory of the split.

    Returns:
        A line that describes the files.
    """
    load_tensorflow()
    from sagan_tf.config import DataConfig
    from sagan_tf.data.sources.registry import open_source

    data_config = DataConfig(
        dataset=options.dataset,
        data_dir=options.data_dir,
        split=options.split,
        shuffle_buffer_size=options.shuffle_buffer_size,
    )
    source = open_source(data_config, resolution=options.resolution, image_channels=options.image_channels)
    names = ("dataset", "data_dir", "split", "resolution", "image_channels", "format", "quality", "shuffle_buffer_size")
    settings = {f"--{name}": getattr(options, name) for name in names}
    record_format = RecordFormat(options.split, options.num_shards, options.format, options.quality)
    metadata = write_record_set(source, output, record_format, settings, options.num_workers)
    return describe_record_set(output, metadata, source)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = parse_arguments(arguments)
    output = Path(os.path.expanduser(options.output)) / options.split
    try:
        check_tensorflow_path("output", output)
        check_can_write_directory(output.parent, "output")
        print(prepare(options, output))
        return 0
    except KeyboardInterrupt as interruption:
        print(f"{NAME}: interrupted: {str(interruption) or 'before writing began'}", file=sys.stderr)
        return INTERRUPTED_STATUS
    except UserError as error:
        print(f"{NAME}: error: {make_printable(str(error))}", file=sys.stderr)
    except OSError as error:
        print(
            f"{NAME}: error: --output: cannot write {output}: {error}; run the same command again to continue",
            file=sys.stderr,
        )
    return 2


if __name__ == "__main__":
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # leave the memory of the GPUs to training
    sys.exit(run_command(NAME, main))
