"""Prepares a large data set once: images cropped, resized and stored in shuffled, sharded record files.

    python tools/prepare_imagenet.py --dataset=imagenet2012 --data_dir=TFDS_DIR --split=train --output=DIR
    python tools/prepare_imagenet.py --dataset=folder --data_dir=IMAGES --split=train --output=DIR --resolution=128

Training then reads DIR with `--dataset=tfrecord --data_dir=DIR --split=train`. Nothing appears as DIR/train before
everything is written. Interrupted, the same command goes on from the shards that were finished; the result is the same
bytes, whatever the number of workers.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `tools`, where this is run as a script

from sagan_tf.console import load_tensorflow, run_command
from sagan_tf.data.names import check_tensorflow_path, printable
from sagan_tf.effects import PREPARE_IMAGENET, check_effects
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_directory
from tools.preparation.progress import Progress
from tools.preparation.unfinished import FinishedShard, UnfinishedWork, unfinished_work
from tools.preparation.workers import WorkerError, write_shards

if TYPE_CHECKING:
    from sagan_tf.data.source import Source
    from sagan_tf.data.tfrecord import TFRecordMetadata
    from tools.preparation.shards import Shard

IMAGES_PER_FILE = 5000
"""By default: files of some 70 MB at 128 pixels, 256 for ImageNet: up to 256 workers then have files of their own."""

NAME = "tools/prepare_imagenet.py"
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line; leaves with status 2 if it is wrong."""
    parser = argparse.ArgumentParser(description="Stores a data set's images, cropped and resized, in record files.")
    parser.add_argument("--dataset", default="imagenet2012", help="folder, or the name of a prepared TFDS data set")
    parser.add_argument("--data_dir", default="", help="where that data is; empty: TFDS's default folder")
    parser.add_argument("--split", default="train", help="split to read, and name of the folder written in --output")
    parser.add_argument("--output", required=True, type=Path, help="folder to write to")
    parser.add_argument("--resolution", type=int, default=128, help="height and width to store")
    parser.add_argument("--image_channels", type=int, default=3, choices=(1, 3, 4))
    parser.add_argument("--num_shards", type=int, default=0, help=f"files; 0: one for each {IMAGES_PER_FILE} images")
    parser.add_argument("--format", default="jpeg", choices=("jpeg", "png"), help="png loses nothing and is larger")
    parser.add_argument("--quality", type=int, default=95, help="of JPEG")
    parser.add_argument(
        "--shuffle_buffer_size", type=int, default=16384, help="records mixed where TFDS has not stored them at random"
    )
    parser.add_argument("--num_workers", type=int, default=num_cores(), help="processes; default: one for each core")
    options = parser.parse_args(arguments)
    if options.image_channels == 4 and options.format == "jpeg":
        parser.error("--image_channels=4: expected --format=png, since JPEG has no alpha")
    if min(options.resolution, options.num_workers, options.shuffle_buffer_size) < 1 or options.num_shards < 0:
        parser.error(
            "expected --resolution, --num_workers and --shuffle_buffer_size of at least 1, and --num_shards of at "
            "least 0"
        )
    if options.split in ("", ".", "..") or os.path.basename(options.split) != options.split:
        parser.error(f"--split: expected the name of a split, and of a folder in --output, received {options.split!r}")
    if not 1 <= options.quality <= 100:
        parser.error(f"--quality: expected 1 to 100, received {options.quality}")
    try:
        defaults = {name: parser.get_default(name) for name in vars(options)}
        check_effects(PREPARE_IMAGENET, vars(options), defaults)
    except UserError as error:
        parser.error(str(error))
    return options


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def settings_of(options: argparse.Namespace, source: Source, num_shards: int) -> dict[str, Any]:
    """What decides the bytes of the output."""
    from PIL import __version__ as pillow

    names = ("dataset", "data_dir", "split", "resolution", "image_channels", "format", "quality", "shuffle_buffer_size")
    settings = {f"--{name}": getattr(options, name) for name in names}
    return settings | {"--num_shards": num_shards, "images": source.fingerprint(), "Pillow": pillow}


def shards_to_write(
    source: Source, work: UnfinishedWork, options: argparse.Namespace, num_shards: int, finished: set[int]
) -> Iterator[Shard]:
    """The shards that are not finished, made when they are asked for."""
    from tools.preparation.shards import Shard

    for index in range(num_shards):
        if index not in finished:
            name = f"{options.split}-{index:05d}-of-{num_shards:05d}.tfrecord"
            yield Shard(index, name, source.part(index, num_shards), work, options.format, options.quality)


def prepare(options: argparse.Namespace, output: Path) -> str:
    """Writes the files; returns what to say of them."""
    load_tensorflow()
    from sagan_tf.config import DataConfig
    from sagan_tf.data.sources import open_source

    data_config = DataConfig(
        dataset=options.dataset,
        data_dir=options.data_dir,
        split=options.split,
        shuffle_buffer_size=options.shuffle_buffer_size,
    )
    source = open_source(data_config, resolution=options.resolution, image_channels=options.image_channels)
    num_shards = min(source.num_examples, options.num_shards or max(1, source.num_examples // IMAGES_PER_FILE))
    with unfinished_work(output) as work:
        finished = work.begin(settings_of(options, source, num_shards))
        try:
            finished = write_the_rest(source, work, options, num_shards, finished)
        except WorkerError:
            raise
        except UserError:  # of the data: what is finished is of no use once that is repaired
            work.discard()
            raise
        metadata = metadata_of(options, source, finished)
        metadata.write(str(work.files))
        work.publish()
    return (
        f"{output}: {metadata.num_examples} images of {len(metadata.class_names)} classes in "
        f"{len(metadata.files)} files; {source.skipped.count} unreadable images left out"
    )


def write_the_rest(
    source: Source,
    work: UnfinishedWork,
    options: argparse.Namespace,
    num_shards: int,
    finished: dict[int, FinishedShard],
) -> dict[int, FinishedShard]:
    """Writes the shards that are not `finished`, with a progress bar; returns all by number.

    Raises:
        KeyboardInterrupt: the user's, with what to say of it.
    """
    with contextlib.closing(Progress(source, finished)) as progress:
        shards = shards_to_write(source, work, options, num_shards, set(finished))
        num_workers = max(1, min(options.num_workers, num_shards - len(finished)))
        try:
            with contextlib.closing(write_shards(shards, num_workers, progress.observe)) as written:
                for shard in written:
                    progress.finish(shard)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{progress}; the same command goes on from there") from None
        return progress.finished


def metadata_of(options: argparse.Namespace, source: Source, finished: dict[int, FinishedShard]) -> TFRecordMetadata:
    """What `dataset.json` says of the finished shards."""
    from sagan_tf.data.tfrecord import TFRecordMetadata

    shards = [finished[index] for index in sorted(finished)]
    return TFRecordMetadata(
        split=options.split,
        resolution=options.resolution,
        image_channels=options.image_channels,
        class_names=source.class_names,
        class_counts=tuple(map(sum, zip(*(shard.class_counts for shard in shards), strict=True))),
        files=tuple((shard.file, shard.num_images) for shard in shards),
    )


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = parse_arguments(arguments)
    output = Path(os.path.expanduser(options.output)) / options.split
    try:
        check_tensorflow_path("output", output)
        check_can_write_directory(output.parent, "output")
        print(prepare(options, output))
        return 0
    except KeyboardInterrupt as interruption:
        print(f"{NAME}: interrupted: {str(interruption) or 'before it began to write'}", file=sys.stderr)
        return INTERRUPTED
    except UserError as error:
        print(f"{NAME}: error: {printable(str(error))}", file=sys.stderr)
    except OSError as error:
        print(
            f"{NAME}: error: --output: cannot write {output}: {error}; the same command goes on from there",
            file=sys.stderr,
        )
    return 2


if __name__ == "__main__":
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # a GPU's memory is for training
    sys.exit(run_command(NAME, main))
