"""A generator of three classes with random weights, and a reader of the tiles of sheets."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from sagan_tf.generation.generators import Generator, create_generator_from_network
from sagan_tf.networks import build_generator
from sagan_tf.sampling.options import SampleOptions
from tests.networks.small_networks import stir
from tests.training.tiny import tiny_config

NAMES = ("apple", "banana", "cherry")


def make_tiny_generator(strategy: tf.distribute.Strategy | None = None, **options: Any) -> Generator:
    """Make a generator of gray images of 32 px, the same at every call with the same options."""
    config = tiny_config(**options)
    keras.utils.set_random_seed(1)
    if strategy is None:
        network = build_generator(config.model)
    else:
        with strategy.scope():
            network = build_generator(config.model)
    stir(network)
    names = () if options.get("conditioning") == "none" else NAMES
    return create_generator_from_network(network, config, names, "tiny", strategy)


def get_network(generator: Generator) -> keras.Model:
    """Return the Keras network of a generator that is not exported."""
    assert generator.network is not None
    return generator.network


def make_sample_options(**options: Any) -> SampleOptions:
    return SampleOptions(**{"run_dir": "run", "output": "out", **options})


def read_tiles(sheet: Image.Image, rows: int, columns: int, *, factor: int = 2, line: int = 0) -> np.ndarray:
    """Read the images of a gray sheet, each pixel from the middle of its enlarged square.

    Images are located from the lower right corner, because names are above and to the left.

    Args:
        sheet: The sheet.
        rows: Number of rows.
        columns: Number of columns.
        factor: Factor by which the images were enlarged.
        line: Height of the captions in pixels.

    Returns:
        Images, uint8 [rows, columns, 32, 32].
    """
    pixels, side = np.asarray(sheet), 32 * factor
    found: np.ndarray = np.zeros((rows, columns, 32, 32), np.uint8)
    for row, column in np.ndindex(rows, columns):
        top = pixels.shape[0] - 2 - (rows - row) * (side + 2 + line) + 2
        left = pixels.shape[1] - 2 - (columns - column) * (side + 2) + 2
        tile = pixels[top : top + side, left : left + side]
        assert np.all(tile[..., :1] == tile) and tile.shape[:2] == (side, side)
        found[row, column] = tile[factor // 2 :: factor, factor // 2 :: factor, 0]
    return found
