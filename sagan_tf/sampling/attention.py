"""Mode attention: where the generator, or the discriminator, looks; as a picture or as a page to explore."""

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
from sagan_tf.generation.attention_maps import AttentionReader, attended_pictures
from sagan_tf.generation.generators import Generator
from sagan_tf.generation.latents import latents_of_seeds
from sagan_tf.keras_backend import keras
from sagan_tf.runs.checkpoints import load_discriminator
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.sampling.options import SampleOptions
from sagan_tf.sampling.training_images import config_of_run, open_training_images
from sagan_tf.visualization.attention_maps import TILE, AttendedPicture, attention_sheet
from sagan_tf.visualization.attention_page import attention_page
from sagan_tf.visualization.colors import MARKS
from sagan_tf.visualization.image_grid import fits

_DEFAULT_PICTURES = 5
_MOST_ON_PAGE = 100
_PLACE = re.compile(r"(\d*\.?\d+):(\d*\.?\d+)")


def attention_picture(generator: Generator, options: SampleOptions) -> Image.Image:
    """Return a row a picture and layer: the picture with coloured dots, and for each dot where it looks."""
    places = parse_places(options.queries)
    if len(places) > len(MARKS):
        raise UserError(f"queries: expected at most {len(MARKS)} places, received {len(places)}")
    count = options.num_samples or _DEFAULT_PICTURES
    if not fits(len(MARKS) + 1, count, generator.shape[0], TILE):
        raise UserError(f"num_samples: expected fewer pictures for one sheet, received {count}")
    return attention_sheet(_pictures(generator, options), places)


def attention_html(generator: Generator, options: SampleOptions) -> str:
    """Return a page that shows where each place of the pictures looks when the mouse is over it."""
    if options.num_samples > _MOST_ON_PAGE:
        raise UserError(f"num_samples: expected at most {_MOST_ON_PAGE} for a page, received {options.num_samples}")
    return attention_page(f"{options.network} of {generator.name}", _pictures(generator, options))


def _pictures(generator: Generator, options: SampleOptions) -> list[AttendedPicture]:
    """Return the pictures that the options name; raise UserError if the network has no attention."""
    network, images, inputs, names = _network_and_inputs(generator, options)
    pictures = attended_pictures(AttentionReader(network), inputs, images, names)
    if not pictures[0].layers:
        raise UserError(f"mode: expected a {options.network} with attention layers for attention, received one without")
    if not all(np.isfinite(layer.maps).all() for one in pictures for layer in one.layers):
        raise UserError(f"checkpoint: expected finite weights for attention, received others ({generator.name})")
    return pictures


def parse_places(texts: Sequence[str]) -> list[tuple[float, float]]:
    """Places ROW:COLUMN as fractions of the picture; raises UserError for another text."""
    places = []
    for text in texts:
        match = _PLACE.fullmatch(text)
        if match is None or not all(0.0 <= float(one) <= 1.0 for one in match.groups()):
            raise UserError(f"queries: expected places ROW:COLUMN from 0:0 to 1:1, such as 0.5:0.5, received {text!r}")
        places.append((float(match[1]), float(match[2])))
    return places


def _network_and_inputs(
    generator: Generator, options: SampleOptions
) -> tuple[keras.Model, np.ndarray, list[tf.Tensor], list[str]]:
    """Return the network that looks, the pictures, what the network is given for them, and what to call them."""
    config = config_of_run(generator, options)
    count = options.num_samples or _DEFAULT_PICTURES
    classes = find_labels(options.labels, generator.num_classes, generator.class_names)
    if options.network == "generator":
        seeds: np.ndarray = options.seed + np.arange(count, dtype=np.int64)
        labels = np.array([classes[seed % len(classes)] for seed in seeds], np.int32)
        latents = latents_of_seeds(seeds, generator.latent_dim, options.threshold())
        images = generator.of_latents(latents.numpy(), labels, options.batch_size)
        names = [generator.class_name(label) if generator.num_classes else "" for label in labels]
        names = [f"{name} seed {seed}".strip() for name, seed in zip(names, seeds, strict=True)]
        return generator.network, images, [latents, tf.constant(labels)], names
    checkpoints = RunDirectory(options.run_dir).checkpoints
    discriminator = load_discriminator(config, checkpoints, options.checkpoint)
    images, labels = _training_examples(config, options, count, classes if options.labels else None)
    names = [generator.class_name(label) if generator.num_classes else "" for label in labels]
    return discriminator, images, [scale_to_unit_range(tf.constant(images)), tf.constant(labels)], names


def _training_examples(
    config: Config, options: SampleOptions, count: int, classes: Sequence[int] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first training images in the order of the seed, of some classes or of all."""
    source = open_training_images(config, options)
    images, labels = [], []
    with source.skipped.raising_user_errors():
        for example in source.examples(seed=options.seed, position=0).take(source.num_examples).as_numpy_iterator():
            if classes is None or example["label"] in classes:
                images.append(example["image"])
                labels.append(example["label"])
            if len(images) == count:
                break
    if not images:
        raise UserError(f"labels: expected classes with training images, received {', '.join(options.labels)}")
    return np.stack(images), np.array(labels, np.int32)
