"""A set of tiny gray images, and functions that write it and read directories."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.sampling.image_files import write_images
from sagan_tf.sampling.image_set import ImageSet
from sagan_tf.visualization.png import encode_pngs

Draw = Callable[[np.ndarray, np.ndarray], tf.Tensor]
SET = ImageSet("run, step 2", 10, 11, (2, 0), ("boot", "bag", "coat"), None)


def draw(seeds: np.ndarray, labels: np.ndarray) -> tf.Tensor:
    """Draw gray images of 2 x 2 whose pixels are the seed and the label."""
    rows = np.stack([seeds, labels, seeds + labels, np.zeros_like(seeds)], 1).astype(np.uint8)
    return encode_pngs(tf.constant(rows.reshape(-1, 2, 2, 1)))


def make_recording_draw() -> tuple[list[int], Draw]:
    """Return a list, and a function that draws images and appends their seeds to the list."""
    drawn: list[int] = []

    def record_and_draw(seeds: np.ndarray, labels: np.ndarray) -> tf.Tensor:
        drawn.extend(seeds.tolist())
        return draw(seeds, labels)

    return drawn, record_and_draw


def write(directory: pathlib.Path, image_set: ImageSet = SET, draw: Draw = draw, **options: Any) -> int:
    """Write a set with batches of 2 images, as one shard unless the options say otherwise."""
    defaults = {"shard": 0, "num_shards": 1, "batch_size": 2, "overwrite": False}
    return write_images(image_set, draw, directory, **(defaults | options))


def read_error(directory: pathlib.Path, *arguments: Any, **options: Any) -> str:
    """Return the message of the error that `write` raises."""
    with pytest.raises(UserError, match="^output: ") as caught:
        write(directory, *arguments, **options)
    return str(caught.value)


def read_files(directory: pathlib.Path) -> dict[str, bytes]:
    """Read all files below a directory, by relative path."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def read_pngs(directory: pathlib.Path) -> dict[str, bytes]:
    """Read all PNG files below a directory, by relative path."""
    return {name: content for name, content in read_files(directory).items() if name.endswith(".png")}
