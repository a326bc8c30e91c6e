"""Sampling: open the generator, make the output of the mode and write it."""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Callable

from PIL import Image

from sagan_tf.class_labels import find_labels
from sagan_tf.config import Config
from sagan_tf.distribution.memory_errors import explain_memory_errors
from sagan_tf.distribution.strategy import create_local_strategy
from sagan_tf.files import write_result_atomically
from sagan_tf.generation.exported_generators import load_generator_from_saved_model
from sagan_tf.generation.generators import Generator, load_generator_from_run
from sagan_tf.keras_backend import keras
from sagan_tf.sampling import sheets
from sagan_tf.sampling.attention import make_attention_html, make_attention_sheet
from sagan_tf.sampling.images import check_images_output, write_shard
from sagan_tf.sampling.nearest import make_nearest_sheet
from sagan_tf.sampling.options import SampleOptions
from sagan_tf.sampling.standing_statistics import use_standing_statistics
from sagan_tf.visualization.output import resolve_output_file, write_image

_logger = logging.getLogger("sagan_tf")

SHEETS: dict[str, Callable[[Generator, SampleOptions], Image.Image]] = {
    "grid": sheets.make_grid,
    "classes": sheets.make_class_sheet,
    "interpolation": sheets.make_interpolation_sheet,
    "truncation": sheets.make_truncation_sheet,
    "nearest": make_nearest_sheet,
    "attention": make_attention_sheet,
}
"""Functions that make one image, by mode. Mode `images` and the page of mode `attention` write other files."""


@explain_memory_errors("sampling", "lower --batch_size to make fewer images at once")
def make_samples(options: SampleOptions) -> pathlib.Path:
    """Make and write the output of a mode.

    Args:
        options: Options of the command.

    Returns:
        The file or the directory that was written.

    Raises:
        UserError: An input is missing or the options do not fit the generator; nothing was written.
    """
    if options.mode == "images":
        check_images_output(options)
        write_shard(_open_generator(options), options)
        return pathlib.Path(os.path.expanduser(options.output))
    suffixes = (".png", ".html") if options.mode == "attention" else (".png",)
    path = resolve_output_file(options.output, suffixes, options.overwrite)
    generator = _open_generator(options)
    if path.suffix.lower() == ".html":
        page = make_attention_html(generator, options)
        write_result_atomically(path, "output", page)
    else:
        write_image(SHEETS[options.mode](generator, options), path)
    _logger.info("%s of %s in %s", options.mode, generator.name, path)
    return path


def _open_generator(options: SampleOptions) -> Generator:
    if options.saved_model:
        return load_generator_from_saved_model(options.saved_model)

    def prepare(network: keras.Model, config: Config, num_classes: int, class_names: tuple[str, ...]) -> None:
        if options.standing_batches:
            labels = find_labels(options.labels, num_classes, class_names)
            truncation = options.get_threshold()
            use_standing_statistics(network, labels, options.standing_batches, truncation, config.model.latent_dim)

    strategy = create_local_strategy(options.strategy, options.logical_cpus)
    return load_generator_from_run(options.run_dir, options.checkpoint, options.generator_weights, strategy, prepare)
