"""A look at a run before it begins: its description, its cost and its first images, without training."""

from __future__ import annotations

import functools
import itertools
import logging
import math
import pathlib
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from sagan_tf.augmentation import create_augmentation
from sagan_tf.config import Config
from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.data.pipeline import PREFETCHED_BATCHES, make_training_dataset
from sagan_tf.data.sources.source import Source
from sagan_tf.distribution.memory_errors import explain_memory_errors
from sagan_tf.distribution.strategy import count_workers, create_strategy
from sagan_tf.distribution.worker_agreement import run_on_chief
from sagan_tf.files import check_can_write_file, write_result
from sagan_tf.random_numbers import RandomNumbers
from sagan_tf.runs.system_errors import MEMORY_REMEDY
from sagan_tf.training.health.overfitting import open_overfitting_reader
from sagan_tf.training.label_sampling import sample_labels
from sagan_tf.training.opening import check_run, open_run
from sagan_tf.training.run_summary import describe_run, log_description
from sagan_tf.training.state import TrainState
from sagan_tf.visualization.image_grid import draw_image_sheet, save_png

_COLUMNS = 8
_NUM_IMAGES = 8 * _COLUMNS
_BATCH_SIZE = 16
"""Number of images that are read at once, as few as are decoded at once: those in memory are not measured."""
_MEASURED_SECONDS = 2.0
"""Duration of the measurement of the reading speed."""

_logger = logging.getLogger("sagan_tf")


@explain_memory_errors("the dry run", MEMORY_REMEDY)
def describe_without_training(config: Config, output: pathlib.Path) -> None:
    """Log the description and the cost of a run, and draw its first images.

    The checks are those of `train.train` before the first step, except that the extractor and the reference of
    evaluations are not opened. The images are the first of a new run, also if the run has begun.

    Args:
        config: The run.
        output: The PNG file to write. Nothing else is written.

    Raises:
        UserError: The configuration, the data or the run directory cannot be used, or `output` cannot be written.
    """
    run_directory = check_run(config)
    strategy = create_strategy(config.training)
    run_on_chief(strategy, lambda: check_can_write_file(output, "dry_run_output"))
    source, config, state, restored, *_ = open_run(config, strategy, run_directory)
    run_on_chief(strategy, run_directory.check_can_write)
    sampled = sample_labels(config, source)
    run_on_chief(strategy, lambda: open_overfitting_reader(config, source, state))
    batches = read_batches(config, sampled.source, _BATCH_SIZE)
    with source.skipped.raise_user_errors():
        parts = itertools.islice(batches, _NUM_IMAGES // _BATCH_SIZE)
        images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        images_per_second = measure_reading_speed(batches)
    log_description(describe_run(config, source, state, strategy, images))
    _log_cost(config, source, state)
    _log_time(config, restored or 0, images_per_second, count_workers(strategy))
    sheet = draw_contact_sheet(config, source, images, labels)
    run_on_chief(strategy, lambda: write_result(output, "dry_run_output", functools.partial(save_png, sheet)))
    names = config.training.augment
    augmented = f", augmented by {', '.join(names)} with probability 1" if names else ""
    _logger.info("images: the first %d of the run%s, in %s", len(labels), augmented, output)
    _logger.info("dry run: nothing was trained, and no run directory was written")


def read_batches(config: Config, source: Source, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read the images of a run from the first one on, flipped as in the run.

    Args:
        config: The run.
        source: The training images.
        count: Number of images in a batch.

    Yields:
        Images float32 [count, R, R, C] in [-1, 1], and labels int32 [count].
    """
    dataset = make_training_dataset(
        source, batch_size=count, seed=config.training.seed, position=0, random_flip=config.data.random_flip
    )
    for batch in dataset.as_numpy_iterator():
        yield batch["images"], batch["labels"]


def measure_reading_speed(batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the number of images that are read in a second, decoded and resized, while nothing else runs.

    Args:
        batches: The batches of an endless stream. The ones that may be in memory already are not counted.
    """
    for _ in range(PREFETCHED_BATCHES + 1):
        next(batches)
    num_images, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < _MEASURED_SECONDS:
        num_images += len(next(batches)[1])
    return num_images / seconds


def draw_contact_sheet(config: Config, source: Source, images: np.ndarray, labels: np.ndarray) -> Image.Image:
    """Draw images as the discriminator receives them, with the names of their classes.

    Args:
        config: The run. Its augmentations are applied to every image.
        source: The training images.
        images: float32 [n, R, R, C] in [-1, 1], n a multiple of the number of columns.
        labels: int32 [n].

    Returns:
        The sheet.
    """
    numbers = RandomNumbers(tf.constant([config.training.seed, 0], tf.int64), tf.range(len(labels)), len(labels))
    augmented = create_augmentation(config.training.augment)(tf.constant(images), numbers)
    captions = [source.class_names[label] for label in labels] if source.class_names else []
    return draw_image_sheet(to_uint8(augmented).numpy(), _COLUMNS, captions=captions)


def _count_images(config: Config, num_steps: int) -> int:
    """Return the number of real images that a run reads in some steps."""
    training = config.training
    return num_steps * training.global_batch_size * training.discriminator_steps_per_step


def _log_time(config: Config, step: int, images_per_second: float, num_workers: int) -> None:
    """Log the time that the workers of the run take to read the images of the steps after `step`.

    The duration of a step is not predicted: it takes minutes to trace a large step, and more memory than the dry run.
    """
    num_steps = max(config.training.num_steps - step, 0)
    _logger.info(
        "time: about %s to read the images of %s remaining steps, at %s a second as measured now without training",
        tqdm.format_interval(_count_images(config, num_steps) / num_workers / images_per_second),
        f"{num_steps:,}",
        f"{images_per_second:,.0f}",
    )
    _logger.info("time: the log of the run shows the time of its steps (ETA); a run can be stopped and continued")


def _log_cost(config: Config, source: Source, state: TrainState) -> None:
    """Log how many images the run reads and how large its checkpoints are."""
    training = config.training
    num_images = _count_images(config, training.num_steps)
    _logger.info(
        "cost: %s steps read %s real images, which are %s epochs of the data set",
        f"{training.num_steps:,}",
        f"{num_images:,}",
        f"{num_images / source.num_examples:,.1f}",
    )
    parts = (
        *(state.generator, state.discriminator, state.generator_ema),
        *(state.generator_optimizer, state.discriminator_optimizer),
    )
    num_bytes = sum(
        math.prod(variable.shape) * tf.as_dtype(variable.dtype).size for part in parts for variable in part.variables
    )
    _logger.info("disk: %s MB for each of the %d checkpoints", f"{num_bytes / 1e6:,.1f}", training.keep_checkpoints)
