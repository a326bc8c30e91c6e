"""A generator of three classes whose weights are all of random numbers, and the tiles of sheets."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from sagan_tf.generation.generators import Generator, as_generator
from sagan_tf.networks import build_generator
from sagan_tf.sampling.options import SampleOptions
from tests.networks.small_networks import stir
from tests.training.tiny import tiny_config

NAMES = ("apple", "banana", "cherry")


def tiny_generator(strategy: tf.distribute.Strategy | None = None, **options: Any) -> Generator:
    """Of 32 px, grey; the same at every call with the same options."""
    config = tiny_config(**options)
    keras.utils.set_random_seed(1)
    if strategy is None:
        network = build_generator(config.model)
    else:
        with strategy.scope():
            network = build_generator(config.model)
    stir(network)
    names = () if options.get("conditioning") == "none" else NAMES
    return as_generator(network, config, names, "tiny", strategy)


def sample_options(**options: Any) -> SampleOptions:
    return SampleOptions(**{"run_dir": "run", "output": "out", **options})


def tiles(picture: Image.Image, rows: int, columns: int, *, factor: int = 2, line: int = 0) -> np.ndarray:
    """Pictures uint8 [rows, columns, 32, 32] of a grey sheet, each pixel from the middle of its square.

    Counted from the lower right corner, since names stand above and to the left.

    Args:
        factor: how many times the pictures were enlarged.
        line: height of the captions.
    """
    pixels, side = np.asarray(picture), 32 * factor
    found = np.zeros((rows, columns, 32, 32), np.uint8)
    for row, column in np.ndindex(rows, columns):
        top = pixels.shape[0] - 2 - (rows - row) * (side + 2 + line) + 2
        left = pixels.shape[1] - 2 - (columns - column) * (side + 2) + 2
        tile = pixels[top : top + side, left : left + side]
        assert np.all(tile[..., :1] == tile) and tile.shape[:2] == (side, side)
        found[row, column] = tile[factor // 2 :: factor, factor // 2 :: factor, 0]
    return found
