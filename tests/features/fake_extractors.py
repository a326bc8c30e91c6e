"""Extractors that cost nothing: SavedModels with the interface of TF-GAN's Inception or nearly, and one that counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.features.extractors import Extractor, Outputs

INCEPTION_FEATURES = 2048
INCEPTION_LOGITS = 1008


class FakeNetwork(tf.Module):
    """Features and logits that depend on every pixel: a random layer on means, squares and gradients of the channels.

    Args:
        channels: of the images.
        features: length of a feature vector.
        logits: number of classes.
        seed: of the weights.
    """

    def __init__(
        self,
        channels: int = 3,
        features: int = INCEPTION_FEATURES,
        logits: int = INCEPTION_LOGITS,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        random = np.random.default_rng(seed)
        self.kernel = tf.Variable(random.normal(size=(4 * channels, features)), dtype=tf.float32)
        self.logits_kernel = tf.Variable(random.normal(size=(4 * channels, logits)), dtype=tf.float32)

    def outputs(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Features [batch, features], none negative, and logits [batch, logits] of images [batch, h, w, channels]."""
        down = tf.linspace(-1.0, 1.0, tf.shape(images)[1])[:, None, None]
        across = tf.linspace(-1.0, 1.0, tf.shape(images)[2])[:, None]
        weighted = [images, tf.square(images), images * down, images * across]
        described = tf.concat([tf.reduce_mean(one, [1, 2]) for one in weighted], axis=-1)
        return tf.nn.relu(described @ self.kernel), described @ self.logits_kernel


class _Callable(tf.Module):
    """A model with a `__call__`, as the hub's are: of images, or of images and a second tensor."""

    def __init__(self, function: Any, network: FakeNetwork) -> None:
        super().__init__()
        self.network = network  # SavedModel finds the variables by it
        self._function = function

    @tf.function(autograph=False)
    def __call__(self, images: tf.Tensor, *others: tf.Tensor) -> Any:
        return self._function(images, *others)


def save_extractor(
    folder: Path,
    *,
    image_shape: tuple[int | None, ...] | None = (None, None, 3),
    dtype: tf.DType = tf.float32,
    inputs: int = 1,
    names: tuple[str, str] | None = ("pool_3", "logits"),
    flat: bool = True,
    callable_: bool = True,
    signature_dtype: tf.DType | None = None,
    seed: int = 0,
) -> FakeNetwork:
    """Saves a `FakeNetwork` as a SavedModel.

    Args:
        folder: to be made.
        image_shape: what it says that it takes: height, width, channels; None: nothing, not even the rank.
        dtype: of the images that it can be called with.
        inputs: how many tensors it is called with.
        names: of its outputs: features, logits; None: they have none.
        flat: whether outputs are [batch, d], and not [batch, 1, 1, d].
        callable_: whether it can be called, as the hub's modules can.
        signature_dtype: of the images of its signature `serving_default`; None: it has none.
        seed: of the weights.

    Returns:
        The network, whose `outputs` are what the SavedModel gives.
    """
    network = FakeNetwork((image_shape or (3,))[-1] or 3, seed=seed)

    def of_images(images: tf.Tensor, *others: tf.Tensor) -> Any:
        found = network.outputs(tf.cast(images, tf.float32))
        found = found if flat else tuple(one[:, None, None, :] for one in found)
        return found if names is None else dict(zip(names, found, strict=True))

    def spec(dtype: tf.DType) -> tf.TensorSpec:
        return tf.TensorSpec(None if image_shape is None else [None, *image_shape], dtype, "images")

    signatures = {}
    if signature_dtype is not None:
        function = tf.function(of_images, autograph=False)
        signatures["serving_default"] = function.get_concrete_function(spec(signature_dtype))
    model = _Callable(of_images, network) if callable_ else network
    if callable_:
        model.__call__.get_concrete_function(spec(dtype), *[tf.TensorSpec([None], tf.float32)] * (inputs - 1))
    tf.saved_model.save(model, str(folder), signatures=signatures)
    return network


class CountingExtractor:
    """An extractor of the mean colour that knows how many images it was shown.

    Attributes:
        extractor: its features are the means of the channels in [-1, 1], its logits the same.
    """

    def __init__(self, identity: str = "colours/1", channels: int | None = 3) -> None:
        self._shown = tf.Variable(0)
        self.extractor = Extractor("colours", identity, None, channels, (), self._network)

    @property
    def shown(self) -> int:
        """Images so far, those that only fill up a batch included."""
        return int(self._shown.numpy())

    def _network(self, images: tf.Tensor) -> Outputs:
        self._shown.assign_add(tf.shape(images)[0])
        colours = tf.reduce_mean(images, [1, 2])
        return Outputs(colours, colours)
