"""Training images of a run, for modes that show them."""

from __future__ import annotations

import dataclasses

from sagan_tf.config import Config
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator
from sagan_tf.sampling.options import SampleOptions


def get_run_config(generator: Generator, options: SampleOptions) -> Config:
    """Return the configuration of a generator's run.

    Args:
        generator: The generator.
        options: Options of the command.

    Returns:
        Configuration of the run.

    Raises:
        UserError: The generator is an exported model.
    """
    if generator.config is None:
        raise UserError(f"saved_model: --mode={options.mode} needs --run_dir instead of an exported model")
    return generator.config


def open_training_images(config: Config, options: SampleOptions) -> Source:
    """Open the training data of a run at the run's resolution.

    Args:
        config: Configuration of the run.
        options: Options of the command; `data_dir` overrides the directory of the run.

    Returns:
        The data source.

    Raises:
        UserError: The data do not exist at their path.
    """
    data, model = config.data, config.model
    if options.data_dir:
        data = dataclasses.replace(data, data_dir=options.data_dir)
    return open_source(data, resolution=model.resolution, image_channels=model.image_channels)
