"""Comparison of the outputs of exported networks with those of the networks."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.features.distances import compute_frechet_distance
from sagan_tf.features.statistics import compute_moments
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.keras_backend import keras
from sagan_tf.saved_models import MAX_ERROR, NUM_COMPARED
from sagan_tf.serving.contract import SERVING_DEFAULT
from sagan_tf.tensorflow_paths import literal_path

Features = Callable[[np.ndarray], np.ndarray]
_POOLED_SIDE = 4
"""Side of the grid of means that represents an image where there is no feature extractor."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """Differences between two sets of images in [-1, 1] of the same latents and labels.

    Attributes:
        max_error: The largest absolute difference of two pixels.
        mean_error: The mean of the absolute differences.
        frechet_distance: The Frechet distance between the features of both sets.
        features: The name of the features.
        num_samples: The number of compared images.
    """

    max_error: float
    mean_error: float
    frechet_distance: float
    features: str
    num_samples: int


def compare_images(images: np.ndarray, reference: np.ndarray, features: Features, features_name: str) -> Parity:
    """Compare images with reference images.

    Args:
        images: float32 [n, height, width, channels], with n at least 2.
        reference: Reference images of the same shape and dtype.
        features: Computes the features [n, d] of images.
        features_name: The name of the features, for the report.
    """
    differences = np.abs(images.astype(np.float64) - reference)
    distance = compute_frechet_distance(compute_moments(features(images)), compute_moments(features(reference)))
    return Parity(float(differences.max()), float(differences.mean()), distance, features_name, len(images))


def measure_saved_model_error(directory: pathlib.Path, network: keras.Model, num_classes: int) -> float:
    """Measure how much an exported generator differs from its network.

    Four images are compared. Every signature is called once, as a server does to warm up.

    Args:
        directory: The directory of the SavedModel.
        network: The network that was exported.
        num_classes: The number of classes; 0 for a generator without classes.

    Returns:
        The largest absolute difference of pixels.

    Raises:
        UserError: If the difference is larger than rounding in float32 could be.
    """
    seeds = np.arange(NUM_COMPARED)
    latents = draw_latents_from_seeds(seeds, network.inputs[0].shape[1])
    labels = tf.constant(seeds % max(num_classes, 1), tf.int32)
    with literal_path(directory) as path:
        model = tf.saved_model.load(path)
    for signature in model.signatures.values():
        specs = signature.structured_input_signature[1]
        signature(**{name: tf.zeros([1, *spec.shape[1:]], spec.dtype) for name, spec in specs.items()})
    images = model.signatures[SERVING_DEFAULT](latents=latents, labels=labels)["images"].numpy()
    error = float(np.abs(images - network([latents, labels], training=False).numpy()).max())
    if not error <= MAX_ERROR:
        raise UserError(
            f"saved_model: expected images within {MAX_ERROR:g} of the run's, received images that differ by "
            f"{error:.2g}; the device may round float32 products: export with CUDA_VISIBLE_DEVICES=-1, on the CPU"
        )
    return error


def measure_discriminator_error(directory: pathlib.Path, network: keras.Model, num_classes: int) -> float:
    """Measure how much an exported discriminator differs from its network, for four images of noise.

    Args:
        directory: The directory of the SavedModel.
        network: The network that was exported.
        num_classes: The number of classes; 0 for a discriminator without classes.

    Returns:
        The largest absolute difference of logits, divided by the largest absolute logit if that is above 1.

    Raises:
        UserError: If the difference is larger than rounding in float32 could be.
    """
    shape = [NUM_COMPARED, *network.inputs[0].shape[1:]]
    images = tf.random.stateless_uniform(shape, (0, 0), -1.0, 1.0)
    labels = tf.range(NUM_COMPARED) % max(num_classes, 1)
    with literal_path(directory) as path:
        model = tf.saved_model.load(path)
    found = model.signatures[SERVING_DEFAULT](images=images, labels=labels)
    outputs = tf.nest.flatten(network([images, labels], training=False))
    names = ("logits", "class_logits")[: len(outputs)]
    errors = [
        np.abs(found[name].numpy() - logits.numpy()).max() / max(1.0, np.abs(logits.numpy()).max())
        for name, logits in zip(names, outputs, strict=True)
    ]
    error = float(np.max(errors))
    if not error <= MAX_ERROR:
        raise UserError(
            f"discriminator: expected logits within {MAX_ERROR:g} of the run's, received logits that differ by "
            f"{error:.2g}; the device may round float32 products: export with CUDA_VISIBLE_DEVICES=-1, on the CPU"
        )
    return error


def pool_pixels(images: np.ndarray) -> np.ndarray:
    """Return the means of a 4 x 4 grid of image regions: [n, h, w, c] -> [n, 16 c].

    They are features that need no network.
    """
    pooled = tf.image.resize(images, (_POOLED_SIDE, _POOLED_SIDE), method="area")
    return pooled.numpy().reshape(len(images), -1)
