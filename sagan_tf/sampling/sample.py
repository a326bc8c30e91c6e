"""Pictures from options: opens the generator, makes what the mode asks for, and writes it."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable

from PIL import Image

from sagan_tf.class_labels import find_labels
from sagan_tf.config import Config
from sagan_tf.distribution.memory_errors import explain_memory_errors
from sagan_tf.distribution.strategy import create_local_strategy
from sagan_tf.files import write_atomically, write_result
from sagan_tf.generation.generators import Generator, generator_of_run, generator_of_saved_model
from sagan_tf.keras_backend import keras
from sagan_tf.sampling import sheets
from sagan_tf.sampling.attention import attention_html, attention_picture
from sagan_tf.sampling.images import check_images_output, images
from sagan_tf.sampling.nearest import nearest
from sagan_tf.sampling.options import SampleOptions
from sagan_tf.sampling.standing_statistics import use_standing_statistics
from sagan_tf.visualization.output import output_file, write_picture

_logger = logging.getLogger("sagan_tf")

SHEETS: dict[str, Callable[[Generator, SampleOptions], Image.Image]] = {
    "grid": sheets.grid,
    "classes": sheets.classes,
    "interpolation": sheets.interpolation,
    "truncation": sheets.truncation,
    "nearest": nearest,
    "attention": attention_picture,
}
"""What makes one picture for each mode; `images` and the page of `attention` write on their own."""


@explain_memory_errors("sampling", "make fewer images at once")
def make_samples(options: SampleOptions, read_config: Callable[[pathlib.Path], Config]) -> None:
    """Make what the options ask for.

    Args:
        options: what to make, and where to write it.
        read_config: reads a run's `flags.cfg`.

    Raises:
        UserError: something is missing or does not fit together; nothing has then been written.
    """
    if options.mode == "images":
        check_images_output(options)
        images(_open_generator(options, read_config), options)
        return
    suffixes = (".png", ".html") if options.mode == "attention" else (".png",)
    path = output_file(options.output, suffixes, options.overwrite)
    generator = _open_generator(options, read_config)
    if path.suffix.lower() == ".html":
        page = attention_html(generator, options)
        write_result(path, "output", lambda place: write_atomically(place, page))
    else:
        write_picture(SHEETS[options.mode](generator, options), path)
    _logger.info("%s of %s in %s", options.mode, generator.name, path)


def _open_generator(options: SampleOptions, read_config: Callable[[pathlib.Path], Config]) -> Generator:
    if options.saved_model:
        return generator_of_saved_model(options.saved_model)

    def prepare(network: keras.Model, config: Config, num_classes: int, class_names: tuple[str, ...]) -> None:
        if options.standing_batches:
            labels = find_labels(options.labels, num_classes, class_names)
            truncation = options.threshold()
            use_standing_statistics(network, labels, options.standing_batches, truncation, config.model.latent_dim)

    strategy = create_local_strategy(options.strategy, options.logical_cpus)
    return generator_of_run(
        options.run_dir, read_config, options.checkpoint, options.generator_weights, strategy, prepare
    )
