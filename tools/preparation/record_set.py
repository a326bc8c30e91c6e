"""The record files of a split: written shard by shard, published all at once."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagan_tf.errors import UserError
from tools.preparation.progress import Progress
from tools.preparation.unfinished import FinishedShard, UnfinishedWork, unfinished_work
from tools.preparation.workers import WorkerError, write_shards

if TYPE_CHECKING:
    from sagan_tf.data.sources.source import Source
    from sagan_tf.data.sources.tfrecord import TFRecordMetadata
    from tools.preparation.shards import Shard

IMAGES_PER_FILE = 5000
"""By default: files of some 70 MB at 128 pixels, 256 for ImageNet: up to 256 workers then have files of their own."""


@dataclasses.dataclass(frozen=True)
class RecordFormat:
    """How images are stored.

    Attributes:
        split: The name of the split.
        num_shards: Files; 0: one for each `IMAGES_PER_FILE` images.
        image_format: jpeg or png.
        quality: The quality of JPEG.
    """

    split: str
    num_shards: int = 0
    image_format: str = "png"
    quality: int = 95

    def shards_of(self, source: Source) -> int:
        """Return the number of files for a data set."""
        return min(source.num_examples, self.num_shards or max(1, source.num_examples // IMAGES_PER_FILE))


def write_record_set(
    source: Source, output: Path, record_format: RecordFormat, settings: dict[str, Any], num_workers: int
) -> TFRecordMetadata:
    """Write a split, going on from the shards that an earlier call has finished.

    Args:
        source: The images.
        output: The directory of the split, which must not exist.
        record_format: How the images are stored.
        settings: Whatever else decides the bytes of the output; work that began with other settings is refused.
        num_workers: Processes that write.

    Returns:
        The content of `dataset.json`.

    Raises:
        UserError: `output` exists, or an image or record cannot be used.
        KeyboardInterrupt: From the user, with a message that says how far the work is.
    """
    from PIL import __version__ as pillow

    num_shards = record_format.shards_of(source)
    settings = settings | {"--num_shards": num_shards, "images": source.digest(), "Pillow": pillow}
    with unfinished_work(output) as work:
        finished = work.begin(settings)
        try:
            finished = _write_the_rest(source, work, record_format, num_workers, finished)
        except WorkerError:
            raise
        except UserError:  # of the data: what is finished is of no use once that is repaired
            work.discard()
            raise
        metadata = _metadata_of(record_format, source, finished)
        metadata.write(str(work.files))
        work.publish()
    return metadata


def describe(output: Path, metadata: TFRecordMetadata, source: Source) -> str:
    """Say in one line what was written."""
    return (
        f"{output}: {metadata.num_examples} images of {len(metadata.class_names)} classes in "
        f"{len(metadata.files)} files; {source.skipped.count} unreadable images left out"
    )


def _write_the_rest(
    source: Source,
    work: UnfinishedWork,
    record_format: RecordFormat,
    num_workers: int,
    finished: dict[int, FinishedShard],
) -> dict[int, FinishedShard]:
    """Write the shards that are not `finished`, with a progress bar; return all by number."""
    num_shards = record_format.shards_of(source)
    with contextlib.closing(Progress(source, finished)) as progress:
        shards = _shards_to_write(source, work, record_format, set(finished))
        num_workers = max(1, min(num_workers, num_shards - len(finished)))
        try:
            with contextlib.closing(write_shards(shards, num_workers, progress.observe)) as written:
                for shard in written:
                    progress.finish(shard)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{progress}; the same command goes on from there") from None
        return progress.finished


def _shards_to_write(
    source: Source, work: UnfinishedWork, record_format: RecordFormat, finished: set[int]
) -> Iterator[Shard]:
    """Yield the shards that are not finished, made when they are asked for."""
    from tools.preparation.shards import Shard

    num_shards = record_format.shards_of(source)
    for index in range(num_shards):
        if index not in finished:
            name = f"{record_format.split}-{index:05d}-of-{num_shards:05d}.tfrecord"
            part = source.part(index, num_shards)
            yield Shard(index, name, part, work, record_format.image_format, record_format.quality)


def _metadata_of(record_format: RecordFormat, source: Source, finished: dict[int, FinishedShard]) -> TFRecordMetadata:
    """Make the content of `dataset.json` from the finished shards."""
    from sagan_tf.data.sources.tfrecord import TFRecordMetadata

    shards = [finished[index] for index in sorted(finished)]
    return TFRecordMetadata(
        split=record_format.split,
        resolution=source.resolution,
        image_channels=source.image_channels,
        class_names=source.class_names,
        class_counts=tuple(map(sum, zip(*(shard.class_counts for shard in shards), strict=True))),
        files=tuple((shard.file, shard.num_images) for shard in shards),
    )
