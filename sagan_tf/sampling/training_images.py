"""The images that a run was trained on, for pictures that show them."""

from __future__ import annotations

import dataclasses

from sagan_tf.config import Config
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator
from sagan_tf.sampling.options import SampleOptions


def config_of_run(generator: Generator, options: SampleOptions) -> Config:
    """Return the configuration of a generator's run; raise UserError for an exported one."""
    if generator.config is None:
        raise UserError(f"saved_model: expected --run_dir for mode {options.mode}, received an export")
    return generator.config


def open_training_images(config: Config, options: SampleOptions) -> Source:
    """Return the data set of a run, at the run's size; raise UserError if it is not where it was."""
    data, model = config.data, config.model
    if options.data_dir:
        data = dataclasses.replace(data, data_dir=options.data_dir)
    return open_source(data, resolution=model.resolution, image_channels=model.image_channels)
