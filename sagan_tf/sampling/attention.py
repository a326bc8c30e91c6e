"""Mode attention: attention maps of the generator or the discriminator, as an image or an HTML page."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from sagan_tf.class_labels import find_labels
from sagan_tf.config import Config
from sagan_tf.data.images.preprocessing import scale_to_unit_range
from sagan_tf.errors import UserError
from sagan_tf.generation.attention_maps import AttentionReader, compute_image_attention
from sagan_tf.generation.generators import Generator
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.keras_backend import keras
from sagan_tf.runs.load_networks import load_discriminator
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.sampling.options import SampleOptions
from sagan_tf.sampling.training_images import get_run_config, open_training_images
from sagan_tf.visualization.attention_maps import MIN_TILE_HEIGHT_PX, ImageAttention, draw_attention_sheet
from sagan_tf.visualization.attention_page import make_attention_page
from sagan_tf.visualization.colors import MARKER_COLORS
from sagan_tf.visualization.image_grid import is_sheet_size_allowed

_DEFAULT_NUM_IMAGES = 5
_MAX_IMAGES_ON_PAGE = 100
_POSITION = re.compile(r"(\d*\.?\d+):(\d*\.?\d+)")


class NonFiniteWeightsError(UserError):
    """An error of a checkpoint whose attention maps have numbers that are not finite."""


def make_attention_sheet(generator: Generator, options: SampleOptions) -> Image.Image:
    """Make a sheet of attention maps with one row per image and layer.

    Args:
        generator: The generator of a run.
        options: Options of the command.

    Returns:
        The sheet.

    Raises:
        NonFiniteWeightsError: The weights of the network are not finite.
        UserError: The options do not fit the generator.
    """
    positions = parse_query_positions(options.queries)
    if len(positions) > len(MARKER_COLORS):
        raise UserError(f"queries: expected at most {len(MARKER_COLORS)} positions, received {len(positions)}")
    count = options.num_samples or _DEFAULT_NUM_IMAGES
    if not is_sheet_size_allowed(len(MARKER_COLORS) + 1, count, generator.shape[0], MIN_TILE_HEIGHT_PX):
        raise UserError(f"num_samples: a sheet of {count} images is too large for image viewers; pass a smaller number")
    return draw_attention_sheet(_compute_attention(generator, options), positions)


def make_attention_html(generator: Generator, options: SampleOptions) -> str:
    """Make an HTML page that shows the attention map of the query under the mouse.

    Args:
        generator: The generator of a run.
        options: Options of the command.

    Returns:
        HTML text.

    Raises:
        NonFiniteWeightsError: The weights of the network are not finite.
        UserError: The options do not fit the generator.
    """
    if options.num_samples > _MAX_IMAGES_ON_PAGE:
        raise UserError(
            f"num_samples: expected at most {_MAX_IMAGES_ON_PAGE} for an .html page, received {options.num_samples}"
        )
    return make_attention_page(f"{options.network} of {generator.name}", _compute_attention(generator, options))


def _compute_attention(generator: Generator, options: SampleOptions) -> list[ImageAttention]:
    """Compute the attention maps of the images that the options select.

    Raises:
        NonFiniteWeightsError: The weights of the network are not finite.
        UserError: The network has no attention layers.
    """
    network, images, inputs, names = _prepare_network(generator, options)
    attention = compute_image_attention(AttentionReader(network), inputs, images, names)
    if not attention[0].layers:
        raise UserError(
            f"mode: --mode=attention needs attention layers, and the {options.network} of this run has none"
        )
    if not all(np.isfinite(layer.maps).all() for image in attention for layer in image.layers):
        raise NonFiniteWeightsError(
            f"checkpoint: {generator.name} has weights that are not finite, so that there are no attention maps; "
            "choose another --checkpoint"
        )
    return attention


def parse_query_positions(texts: Sequence[str]) -> list[tuple[float, float]]:
    """Parse positions ROW:COLUMN, which are fractions of the image.

    Args:
        texts: Texts such as `0.5:0.25`.

    Returns:
        Row and column of each position, in [0, 1].

    Raises:
        UserError: A text is not a position.
    """
    positions = []
    for text in texts:
        match = _POSITION.fullmatch(text)
        if match is None or not all(0.0 <= float(number) <= 1.0 for number in match.groups()):
            raise UserError(
                f"queries: expected positions ROW:COLUMN from 0:0 to 1:1, such as 0.5:0.5, received {text!r}"
            )
        positions.append((float(match[1]), float(match[2])))
    return positions


def _prepare_network(
    generator: Generator, options: SampleOptions
) -> tuple[keras.Model, np.ndarray, list[tf.Tensor], list[str]]:
    """Return the network, the images, the network's inputs and the images' names."""
    config = get_run_config(generator, options)
    count = options.num_samples or _DEFAULT_NUM_IMAGES
    classes = find_labels(options.labels, generator.num_classes, generator.class_names)
    if options.network == "generator":
        seeds: np.ndarray = options.seed + np.arange(count, dtype=np.int64)
        labels = np.array([classes[seed % len(classes)] for seed in seeds], np.int32)
        latents = draw_latents_from_seeds(seeds, generator.latent_dim, options.get_threshold())
        images = generator.images_from_latents(latents.numpy(), labels, options.batch_size)
        names = [generator.get_class_name(label) if generator.num_classes else "" for label in labels]
        names = [f"{name} seed {seed}".strip() for name, seed in zip(names, seeds, strict=True)]
        return generator.network, images, [latents, tf.constant(labels)], names
    checkpoints = RunDirectory(options.run_dir).checkpoints
    discriminator = load_discriminator(config, checkpoints, options.checkpoint)
    images, labels = _read_training_images(config, options, count, classes if options.labels else None)
    names = [generator.get_class_name(label) if generator.num_classes else "" for label in labels]
    return discriminator, images, [scale_to_unit_range(tf.constant(images)), tf.constant(labels)], names


def _read_training_images(
    config: Config, options: SampleOptions, count: int, classes: Sequence[int] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Read the first training images of some or all classes, in the order of the seed."""
    source = open_training_images(config, options)
    images, labels = [], []
    with source.skipped.raise_user_errors():
        for example in source.examples(seed=options.seed, position=0).take(source.num_examples).as_numpy_iterator():
            if classes is None or example["label"] in classes:
                images.append(example["image"])
                labels.append(example["label"])
            if len(images) == count:
                break
    if not images:
        raise UserError(
            f"labels: there are no training images of {', '.join(options.labels)}; choose different classes"
        )
    return np.stack(images), np.array(labels, np.int32)
