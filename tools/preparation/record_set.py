"""Record files of a split, which are written shard by shard and published together."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagan_tf.errors import StoppedBySignalError, UserError
from tools.preparation.progress import Progress
from tools.preparation.unfinished import FinishedShard, UnfinishedWork, lock_unfinished_work
from tools.preparation.workers import WorkerError, write_shards

if TYPE_CHECKING:
    from sagan_tf.data.sources.source import Source
    from sagan_tf.data.sources.tfrecord import TFRecordMetadata
    from tools.preparation.shards import Shard

DEFAULT_IMAGE_FORMAT = "jpeg"
"""Default format of the stored images."""
DEFAULT_JPEG_QUALITY = 95
"""Default quality of stored JPEGs, 1 to 100."""
IMAGES_PER_FILE = 5000
"""Default size of a file, about 70 MB at 128 pixels. ImageNet has 256 files, for up to 256 workers."""


@dataclasses.dataclass(frozen=True)
class RecordFormat:
    """Format of stored images.

    Attributes:
        split: Name of the split.
        num_shards: Number of files; 0: one per `IMAGES_PER_FILE` images.
        image_format: jpeg or png.
        quality: JPEG quality.
    """

    split: str
    num_shards: int = 0
    image_format: str = "png"
    quality: int = 95

    def count_shards(self, source: Source) -> int:
        """Return the number of files for a data set."""
        return min(source.num_examples, self.num_shards or max(1, source.num_examples // IMAGES_PER_FILE))


def write_record_set(
    source: Source, output: Path, record_format: RecordFormat, settings: dict[str, Any], num_workers: int
) -> TFRecordMetadata:
    """Write a split; continue with the shards that an earlier call has not finished.

    Args:
        source: Images.
        output: Directory of the split, which must not exist.
        record_format: Format of the stored images.
        settings: All other values that determine the bytes of the output; work that began with other settings is
            rejected.
        num_workers: Number of writing processes.

    Returns:
        The content of `dataset.json`.

    Raises:
        UserError: `output` exists or cannot be written, or an image or record cannot be used.
        StoppedBySignalError: The user has interrupted the work; the message describes its progress.
    """
    from PIL import __version__ as pillow

    num_shards = record_format.count_shards(source)
    settings = settings | {"--num_shards": num_shards, "images": source.digest(), "Pillow": pillow}
    with _explain_write_errors(output), lock_unfinished_work(output) as work:
        finished = work.begin(settings)
        try:
            finished = _write_unfinished_shards(source, work, record_format, num_workers, finished)
        except WorkerError:
            raise
        except UserError:  # the data have an error; the finished shards are useless once it is corrected
            work.discard()
            raise
        metadata = _create_metadata(record_format, source, finished)
        metadata.write(str(work.files))
        work.publish()
    return metadata


def describe_record_set(output: Path, metadata: TFRecordMetadata, source: Source) -> str:
    """Describe in one line what was written."""
    return (
        f"{output}: {metadata.num_examples} images of {len(metadata.class_names)} classes in "
        f"{len(metadata.files)} files; {source.skipped.count} unreadable images left out"
    )


@contextlib.contextmanager
def _explain_write_errors(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"output: cannot write {output}: {error}; run the same command again to continue") from error


def _write_unfinished_shards(
    source: Source,
    work: UnfinishedWork,
    record_format: RecordFormat,
    num_workers: int,
    finished: dict[int, FinishedShard],
) -> dict[int, FinishedShard]:
    """Write the shards that are not `finished`, with a bar; return all by number."""
    num_shards = record_format.count_shards(source)
    with contextlib.closing(Progress(source, finished)) as progress:
        shards = _iterate_unfinished_shards(source, work, record_format, set(finished))
        num_workers = max(1, min(num_workers, num_shards - len(finished)))
        try:
            with contextlib.closing(write_shards(shards, num_workers, progress.observe)) as written:
                for shard in written:
                    progress.finish(shard)
        except KeyboardInterrupt:
            message = f"interrupted: {progress}; run the same command again to continue"
            raise StoppedBySignalError(signal.SIGINT, message) from None
        return progress.finished


def _iterate_unfinished_shards(
    source: Source, work: UnfinishedWork, record_format: RecordFormat, finished: set[int]
) -> Iterator[Shard]:
    """Yield the shards that are not finished, created on demand."""
    from tools.preparation.shards import Shard

    num_shards = record_format.count_shards(source)
    for index in range(num_shards):
        if index not in finished:
            name = f"{record_format.split}-{index:05d}-of-{num_shards:05d}.tfrecord"
            part = source.part(index, num_shards)
            yield Shard(index, name, part, work, record_format.image_format, record_format.quality)


def _create_metadata(
    record_format: RecordFormat, source: Source, finished: dict[int, FinishedShard]
) -> TFRecordMetadata:
    """Create the content of `dataset.json` from the finished shards."""
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
