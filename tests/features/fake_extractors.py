"""Cheap extractors: SavedModels with an interface like that of TF-GAN's Inception, and an extractor that counts."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from sagan_tf.features.extractor import Extractor, ExtractorOutputs
from sagan_tf.features.extractors import ExtractorOptions, open_extractor

INCEPTION_FEATURES = 2048
INCEPTION_LOGITS = 1008


class FakeNetwork(tf.Module):
    """A random layer on means, squares and gradients of the channels, whose outputs depend on every pixel."""

    def __init__(self, channels: int = 3, *, seed: int = 0) -> None:
        super().__init__()
        random = np.random.default_rng(seed)
        self.kernel = tf.Variable(random.normal(size=(4 * channels, INCEPTION_FEATURES)), dtype=tf.float32)
        self.logits_kernel = tf.Variable(random.normal(size=(4 * channels, INCEPTION_LOGITS)), dtype=tf.float32)

    def outputs(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return features, at least 0, and logits of images `[batch, height, width, channels]`."""
        down = tf.linspace(-1.0, 1.0, tf.shape(images)[1])[:, None, None]
        across = tf.linspace(-1.0, 1.0, tf.shape(images)[2])[:, None]
        weighted = [images, tf.square(images), images * down, images * across]
        means = tf.concat([tf.reduce_mean(values, [1, 2]) for values in weighted], axis=-1)
        return tf.nn.relu(means @ self.kernel), means @ self.logits_kernel


class _Callable(tf.Module):
    """A model with a `__call__` of images or of images and a second tensor, like modules of TensorFlow Hub."""

    def __init__(self, function: Any, network: FakeNetwork) -> None:
        super().__init__()
        self.network = network  # an attribute, so that the variables are saved
        self._function = function

    @tf.function(autograph=False)
    def __call__(self, images: tf.Tensor, *tensors: tf.Tensor) -> Any:
        return self._function(images, *tensors)


def save_extractor(
    directory: Path,
    *,
    image_shape: tuple[int | None, ...] | None = (None, None, 3),
    dtype: tf.DType = tf.float32,
    inputs: int = 1,
    names: tuple[str, str] | None = ("pool_3", "logits"),
    flat: bool = True,
    has_call: bool = True,
    signature_dtype: tf.DType | None = None,
    seed: int = 0,
) -> FakeNetwork:
    """Save a `FakeNetwork` as a SavedModel.

    Args:
        directory: The directory to create.
        image_shape: Static height, width and channels of the images; None for images of unknown rank.
        dtype: Dtype of the images of its `__call__`.
        inputs: Number of tensors of its `__call__`.
        names: Names of its outputs with features and with logits; None for outputs without names.
        flat: Whether outputs are `[batch, d]`, and not `[batch, 1, 1, d]`.
        has_call: Whether it has a `__call__`, like the modules of TensorFlow Hub.
        signature_dtype: Dtype of the images of its signature `serving_default`; None for no signature.
        seed: Seed of the weights.
    """
    network = FakeNetwork((image_shape or (3,))[-1] or 3, seed=seed)

    def extract(images: tf.Tensor, *tensors: tf.Tensor) -> Any:
        outputs = network.outputs(tf.cast(images, tf.float32))
        outputs = outputs if flat else tuple(output[:, None, None, :] for output in outputs)
        return outputs if names is None else dict(zip(names, outputs, strict=True))

    def create_spec(dtype: tf.DType) -> tf.TensorSpec:
        return tf.TensorSpec(None if image_shape is None else [None, *image_shape], dtype, "images")

    signatures = {}
    if signature_dtype is not None:
        function = tf.function(extract, autograph=False)
        signatures["serving_default"] = function.get_concrete_function(create_spec(signature_dtype))
    model = _Callable(extract, network) if has_call else network
    if has_call:
        model.__call__.get_concrete_function(create_spec(dtype), *[tf.TensorSpec([None], tf.float32)] * (inputs - 1))
    tf.saved_model.save(model, str(directory), signatures=signatures)
    return network


class CountingExtractor:
    """An extractor of the mean color that counts its images.

    Attributes:
        extractor: The extractor; its features and its logits are the means of the channels in [-1, 1].
    """

    def __init__(self, identifier: str = "colors/1", channels: int | None = 3) -> None:
        self._count = tf.Variable(0)
        self.extractor = Extractor("colors", identifier, None, channels, (), self._network)

    @property
    def count(self) -> int:
        """Number of images so far, with those that only fill up a batch."""
        return int(self._count.numpy())

    def _network(self, images: tf.Tensor) -> ExtractorOutputs:
        self._count.assign_add(tf.shape(images)[0])
        colors = tf.reduce_mean(images, [1, 2])
        return ExtractorOutputs(colors, colors)


def random_images(height: int, width: int, channels: int = 3, count: int = 3) -> tf.Tensor:
    """Return random images uint8 `[count, height, width, channels]`."""
    random = np.random.default_rng(height * width * channels)
    return tf.constant(random.integers(0, 256, size=(count, height, width, channels)), tf.uint8)


def resize_with_pillow(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return bilinearly resized images in [-1, 1]; Pillow widens its filter when it reduces an image."""

    def resize(values: np.ndarray) -> np.ndarray:
        image = Image.fromarray(values.astype(np.float32) / 127.5 - 1.0)
        return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))

    planes = [[resize(image[..., channel]) for channel in range(image.shape[-1])] for image in np.asarray(images)]
    return np.moveaxis(np.array(planes), 1, -1)


def assert_outputs(extractor: Extractor, images: tf.Tensor, expected: tuple[tf.Tensor, tf.Tensor]) -> None:
    """Assert that an extractor has the expected float32 features and logits."""
    for output, expected_output in zip(extractor(images), expected, strict=True):
        assert output.dtype == tf.float32
        np.testing.assert_allclose(output, expected_output, rtol=1e-4, atol=1e-4)


def open_saved_model(directory: Path, **options: Any) -> Extractor:
    """Open the SavedModel in a directory as an extractor."""
    return open_extractor(ExtractorOptions(str(directory), **options))
