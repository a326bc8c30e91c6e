"""How much a converted generator's pictures differ from the generator's own."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.features.distances import frechet_distance
from sagan_tf.features.statistics import moments_of_features
from sagan_tf.generation.latents import latents_of_seeds
from sagan_tf.keras_backend import keras
from sagan_tf.serving.contract import SERVING_DEFAULT
from sagan_tf.tensorflow_paths import literal_path

Images = Callable[[np.ndarray, np.ndarray], np.ndarray]
Features = Callable[[np.ndarray], np.ndarray]
_COMPARED, _LARGEST_ERROR = 4, 1e-3
_POOLED = 4
"""Side of the grid of means that stand for a picture where no extractor does."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """Differences of two sets of pictures of the same latents and labels, all in [-1, 1].

    Attributes:
        max_error: largest absolute difference of two pixels.
        mean_error: mean of absolute differences.
        frechet_distance: between the features of both sets.
        features: whose they are.
        num_samples: pictures compared.
    """

    max_error: float
    mean_error: float
    frechet_distance: float
    features: str
    num_samples: int


def compare(images: np.ndarray, reference: np.ndarray, features: Features, features_name: str) -> Parity:
    """Compare pictures.

    Args:
        images, reference: float32 [n, height, width, channels], n at least 2.
        features: of such pictures, [n, d].
        features_name: for the report.
    """
    differences = np.abs(images.astype(np.float64) - reference)
    distance = frechet_distance(moments_of_features(features(images)), moments_of_features(features(reference)))
    return Parity(float(differences.max()), float(differences.mean()), distance, features_name, len(images))


def saved_model_error(folder: pathlib.Path, network: keras.Model, num_classes: int) -> float:
    """Return the largest difference of pixels between a few pictures of an exported generator and of its network.

    Every signature is called once, as a server does to warm up.

    Raises:
        UserError: It is larger than rounding in float32 could be.
    """
    seeds = np.arange(_COMPARED)
    latents = latents_of_seeds(seeds, network.inputs[0].shape[1])
    labels = tf.constant(seeds % max(num_classes, 1), tf.int32)
    with literal_path(folder) as path:
        model = tf.saved_model.load(path)
    for signature in model.signatures.values():
        specs = signature.structured_input_signature[1]
        signature(**{name: tf.zeros([1, *spec.shape[1:]], spec.dtype) for name, spec in specs.items()})
    images = model.signatures[SERVING_DEFAULT](latents=latents, labels=labels)["images"].numpy()
    error = float(np.abs(images - network([latents, labels], training=False).numpy()).max())
    if not error <= _LARGEST_ERROR:
        raise UserError(
            f"saved_model: expected images within {_LARGEST_ERROR:g} of the run's, received images that differ by "
            f"{error:.2g}; the device may round float32 products: export with CUDA_VISIBLE_DEVICES=-1, on the CPU"
        )
    return error


def pooled_pixels(images: np.ndarray) -> np.ndarray:
    """Means of a picture's parts, as features that need no network: [n, h, w, c] -> [n, 16 c]."""
    pooled = tf.image.resize(images, (_POOLED, _POOLED), method="area")
    return pooled.numpy().reshape(len(images), -1)
