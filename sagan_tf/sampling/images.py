"""Mode images: any number of pictures, to a folder or an archive."""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from sagan_tf.class_labels import find_labels
from sagan_tf.distribution.cluster import place_among_workers
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_directory
from sagan_tf.generation.generators import Generator
from sagan_tf.generation.latents import latents_of_seeds
from sagan_tf.sampling.image_archive import write_archive
from sagan_tf.sampling.image_files import PictureSet, class_folders, write_pictures
from sagan_tf.sampling.options import SampleOptions
from sagan_tf.visualization.output import output_file
from sagan_tf.visualization.png import encode_pngs

_logger = logging.getLogger("sagan_tf")
_DEFAULT_COUNT = 100
_FILES = (".png", ".jpg", ".jpeg", ".html", ".npy", ".zip")
"""What would be a mistake for a folder's name."""


def images(generator: Generator, options: SampleOptions) -> None:
    """Write the pictures of a shard of seeds."""
    part, parts = place_among_workers() if options.is_shard_of_worker() else options.part_and_parts()
    pictures = PictureSet(
        generator.name,
        options.seed,
        options.num_samples or _DEFAULT_COUNT,
        tuple(find_labels(options.labels, generator.num_classes, generator.class_names)),
        class_folders(generator.num_classes, generator.class_names),
        options.truncation,
        generator.digest,
    )
    if _is_archive(options):
        path = output_file(options.output, (".npz",), options.overwrite)
        seeds = np.array(pictures.part(part, parts), np.int64)
        labels = np.array([pictures.label(int(seed)) for seed in seeds], np.int32)
        batches = _batches(generator, options, seeds, labels)
        write_archive(path, batches, generator.shape, seeds, labels, generator.class_names)
        _logger.info("%d pictures in %s", len(seeds), path)
        return
    folder = pathlib.Path(os.path.expanduser(options.output))

    written = write_pictures(
        pictures,
        png_maker(generator, options.threshold()),
        folder,
        part=part,
        parts=parts,
        batch_size=options.batch_size,
        overwrite=options.overwrite,
    )
    _logger.info("%d pictures in %s", written, folder)


def png_maker(generator: Generator, truncation: float) -> Callable[[np.ndarray, np.ndarray], tf.Tensor]:
    """Return a function of seeds int64 [n] and labels int32 [n] to PNG files, string [n]."""

    # One compiled function from seeds to files: between its parts, nothing comes back to Python.
    @tf.function(autograph=False, reduce_retracing=True)
    def compiled(seeds: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return encode_pngs(generator.pictures(latents_of_seeds(seeds, generator.latent_dim, truncation), labels))

    return lambda seeds, labels: compiled(tf.constant(seeds), tf.constant(labels))


def check_images_output(options: SampleOptions) -> None:
    """Raise UserError for an output that cannot be written, before any work is done."""
    if _is_archive(options) and options.is_shard_of_worker():
        raise UserError(f"output: expected a folder, which workers can share, received {options.output}")
    if _is_archive(options):
        output_file(options.output, (".npz",), options.overwrite)
    elif pathlib.Path(options.output).suffix.lower() in _FILES:
        raise UserError(f"output: expected a folder or an .npz file for images, received {options.output}")
    else:
        check_can_write_directory(pathlib.Path(os.path.expanduser(options.output)), "output")


def _is_archive(options: SampleOptions) -> bool:
    return options.output.lower().endswith(".npz")


def _batches(
    generator: Generator, options: SampleOptions, seeds: np.ndarray, labels: np.ndarray
) -> Iterator[np.ndarray]:
    for start in range(0, len(seeds), options.batch_size):
        part = slice(start, start + options.batch_size)
        yield generator.of_seeds(seeds[part], labels[part], options.threshold(), options.batch_size)
