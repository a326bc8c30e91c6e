"""Mode images: any number of images, written to a directory or an archive."""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from sagan_tf.class_labels import find_labels
from sagan_tf.distribution.cluster import find_worker_index
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_directory
from sagan_tf.generation.generators import Generator
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.sampling.image_archive import write_archive
from sagan_tf.sampling.image_files import write_images
from sagan_tf.sampling.image_set import ImageSet, choose_class_directories
from sagan_tf.sampling.options import SampleOptions
from sagan_tf.visualization.output import resolve_output_file
from sagan_tf.visualization.png import encode_pngs

_logger = logging.getLogger("sagan_tf")
_DEFAULT_NUM_IMAGES = 100
_FILE_SUFFIXES = (".png", ".jpg", ".jpeg", ".html", ".npy", ".zip")
"""Suffixes that are rejected, because a user who gives one does not expect a directory."""


def write_shard(generator: Generator, options: SampleOptions) -> None:
    """Write the images of a shard of seeds to a directory or an archive.

    Args:
        generator: The generator.
        options: Options of the command.

    Raises:
        UserError: The output cannot be written.
    """
    shard, num_shards = find_worker_index() if options.is_worker_shard() else options.parse_shard()
    image_set = ImageSet(
        generator.name,
        options.seed,
        options.num_samples or _DEFAULT_NUM_IMAGES,
        tuple(find_labels(options.labels, generator.num_classes, generator.class_names)),
        choose_class_directories(generator.num_classes, generator.class_names),
        options.truncation,
        generator.digest,
    )
    if _is_archive(options):
        path = resolve_output_file(options.output, (".npz",), options.overwrite)
        seeds = np.array(image_set.get_shard_seeds(shard, num_shards), np.int64)
        labels = np.array([image_set.get_label(int(seed)) for seed in seeds], np.int32)
        batches = _make_batches(generator, options, seeds, labels)
        write_archive(path, batches, generator.shape, seeds, labels, generator.class_names)
        _logger.info("%d images in %s", len(seeds), path)
        return
    directory = pathlib.Path(os.path.expanduser(options.output))

    num_written = write_images(
        image_set,
        compile_png_function(generator, options.get_threshold()),
        directory,
        shard=shard,
        num_shards=num_shards,
        batch_size=options.batch_size,
        overwrite=options.overwrite,
    )
    _logger.info("%d images in %s", num_written, directory)


def compile_png_function(generator: Generator, truncation: float) -> Callable[[np.ndarray, np.ndarray], tf.Tensor]:
    """Compile a function from seeds int64 [n] and labels int32 [n] to PNG files.

    Args:
        generator: The generator.
        truncation: Truncation threshold; infinity for none.

    Returns:
        A function that returns the PNG files, string [n].
    """

    # One compiled function from seeds to files, so that no intermediate values return to Python.
    @tf.function(autograph=False, reduce_retracing=True)
    def compiled(seeds: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        latents = draw_latents_from_seeds(seeds, generator.latent_dim, truncation)
        return encode_pngs(generator.make_images(latents, labels))

    return lambda seeds, labels: compiled(tf.constant(seeds), tf.constant(labels))


def check_images_output(options: SampleOptions) -> None:
    """Check before any work that the output can be written.

    Args:
        options: Options of the command.

    Raises:
        UserError: The output cannot be written.
    """
    if _is_archive(options) and options.is_worker_shard():
        raise UserError(f"output: expected a directory, which workers can share, received {options.output}")
    if _is_archive(options):
        resolve_output_file(options.output, (".npz",), options.overwrite)
    elif pathlib.Path(options.output).suffix.lower() in _FILE_SUFFIXES:
        raise UserError(f"output: expected a directory or an .npz file for mode images, received {options.output}")
    else:
        check_can_write_directory(pathlib.Path(os.path.expanduser(options.output)), "output")


def _is_archive(options: SampleOptions) -> bool:
    return options.output.lower().endswith(".npz")


def _make_batches(
    generator: Generator, options: SampleOptions, seeds: np.ndarray, labels: np.ndarray
) -> Iterator[np.ndarray]:
    for start in range(0, len(seeds), options.batch_size):
        batch = slice(start, start + options.batch_size)
        yield generator.images_from_seeds(seeds[batch], labels[batch], options.get_threshold(), options.batch_size)
