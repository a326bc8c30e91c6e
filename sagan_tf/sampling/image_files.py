"""Writing of any number of images to a directory, one PNG file each, in shards that can be interrupted."""

from __future__ import annotations

import concurrent.futures
import json
import logging
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.files import write_atomically
from sagan_tf.progress import progress_bar
from sagan_tf.sampling.image_directory import prepare_image_directory
from sagan_tf.sampling.image_set import ImageSet

_logger = logging.getLogger("sagan_tf")
_NUM_THREADS = 3

DrawPngs = Callable[[np.ndarray, np.ndarray], tf.Tensor]
"""Function from seeds int64 [n] and labels int32 [n] to PNG files, string [n]."""


def write_images(
    image_set: ImageSet,
    draw: DrawPngs,
    directory: pathlib.Path,
    *,
    shard: int,
    num_shards: int,
    batch_size: int,
    overwrite: bool,
) -> int:
    """Write the images of a shard; an interrupted shard continues where it stopped.

    Args:
        image_set: The set of images.
        draw: Function from seeds int64 [n] and labels int32 [n] to PNG files, string [n].
        directory: Output directory; it is created if it does not exist.
        shard: Index of the shard, from 0.
        num_shards: Number of shards of the set.
        batch_size: Number of images in a batch.
        overwrite: Write this shard again; without shards, remove the images of other sets in the directory.

    Returns:
        The number of images written by this call.

    Raises:
        UserError: The directory has different content or images of these seeds from another set, or cannot be written.
    """
    seeds = image_set.get_shard_seeds(shard, num_shards)
    record_path = directory / f"seeds_{seeds.start}_{seeds.stop - 1}.json"
    try:
        continues = prepare_image_directory(image_set, seeds, directory, record_path, overwrite=overwrite)
        directory.mkdir(parents=True, exist_ok=True)
        _write_record(record_path, image_set, seeds, complete=False)
        for subdirectory in image_set.folders:
            (directory / subdirectory).mkdir(exist_ok=True)
        missing: Sequence[int] = seeds
        if continues:
            missing = [seed for seed in seeds if not (directory / image_set.get_path(seed)).exists()]
            _logger.info("%d of %d images exist already", len(seeds) - len(missing), len(seeds))
        _write_batches(image_set, draw, directory, missing, batch_size)
        _write_record(record_path, image_set, seeds, complete=True)
    except OSError as error:
        raise UserError(
            f"output: cannot write into {directory} ({error.strerror or error}); run the same command again to continue"
        ) from error
    return len(missing)


def _write_record(path: pathlib.Path, image_set: ImageSet, seeds: range, *, complete: bool) -> None:
    write_atomically(path, json.dumps(image_set.make_record(seeds, complete=complete), indent=2) + "\n")


def _write_batches(
    image_set: ImageSet, draw: DrawPngs, directory: pathlib.Path, seeds: Sequence[int], batch_size: int
) -> None:
    """Make and write batches in several threads.

    The processor then computes while files are written.
    """

    def write_batch(start: int) -> int:
        batch = np.array(seeds[start : start + batch_size], np.int64)
        labels = np.array([image_set.get_label(int(seed)) for seed in batch], np.int32)
        paths = [os.path.join(directory, image_set.get_path(int(seed))) for seed in batch]
        _write_files(paths, draw(batch, labels).numpy())
        return len(batch)

    with (
        concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as threads,
        progress_bar(len(seeds), unit="image", description="images") as bar,
    ):
        pending = [threads.submit(write_batch, start) for start in range(0, len(seeds), batch_size)]
        try:
            for batch in pending:
                bar.update(batch.result())
        finally:  # after an error in one batch, the remaining batches would fail, too
            threads.shutdown(wait=True, cancel_futures=True)


def _write_files(paths: Sequence[str], files: Sequence[bytes]) -> None:
    # pathlib is not used here, because it takes longer than writing: a small generator makes 1,000 images per second.
    for path, file in zip(paths, files, strict=True):
        # Do not follow a link at this path, which may lead out of the directory.
        descriptor = os.open(f"{path}.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666)
        try:
            if os.write(descriptor, file) < len(file):
                raise OSError("no space left")
        finally:
            os.close(descriptor)
        os.replace(f"{path}.part", path)
