"""A small SavedModel with the signatures of the contract, whose outputs are simple functions of its inputs."""

from __future__ import annotations

import pathlib

import numpy as np
import tensorflow as tf

from sagan_tf.serving.contract import ATTENTION, GENERATE, MAX_BATCH_SIZE, SERVING_DEFAULT

NUM_CLASSES, LATENT_DIM, SIDE, MAP_SIDE = 3, 4, 8, 2


def _spec(dtype: tf.DType, *shape: int) -> tf.TensorSpec:
    return tf.TensorSpec([None, *shape], dtype)


class _SmallModel(tf.Module):
    """A model whose images are the first latent plus the label, and whose PNG files hold seed, label and truncation."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = tf.Variable(0.125)

    def _check(self, labels: tf.Tensor, numbers: tf.Tensor) -> list[tf.Operation]:
        # A session accepts any shape, but graph optimizers rely on the static shape of the signature.
        shape = tf.shape(tf.compat.v1.placeholder_with_default(numbers, shape=None))
        return [
            tf.debugging.assert_less_equal(tf.size(labels), MAX_BATCH_SIZE, "expected fewer rows"),
            tf.debugging.assert_equal(shape, [tf.size(labels), *numbers.shape[1:]], "expected another shape"),
            tf.debugging.assert_less(labels, NUM_CLASSES, f"labels: expected 0 to {NUM_CLASSES - 1}"),
            tf.debugging.assert_non_negative(labels, f"labels: expected 0 to {NUM_CLASSES - 1}"),
            tf.debugging.assert_all_finite(1e6 * numbers, "expected finite numbers that are not too large"),
        ]

    @tf.function(input_signature=[_spec(tf.float32, LATENT_DIM), _spec(tf.int32)])
    def serving_default(self, latents: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies(self._check(labels, latents)):
            value = (latents[:, 0] + tf.cast(labels, tf.float32)) * self.scale
        return {"images": tf.tile(value[:, None, None, None], [1, SIDE, SIDE, 1])}

    @tf.function(input_signature=[_spec(tf.int64), _spec(tf.int32), _spec(tf.float32)])
    def generate(self, seeds: tf.Tensor, labels: tf.Tensor, truncation: tf.Tensor) -> dict[str, tf.Tensor]:
        checks = [*self._check(labels, truncation), tf.debugging.assert_non_negative(truncation, "truncation: below 0")]
        with tf.control_dependencies(checks):
            seeds = tf.reshape(seeds, tf.shape(labels))
            pixels = tf.stack([seeds % 256, tf.cast(labels, tf.int64), tf.cast(truncation * 10, tf.int64)], axis=1)
        images = tf.tile(tf.cast(pixels, tf.uint8)[:, None, None, :], [1, SIDE, SIDE, 1])
        return {"png_bytes": tf.map_fn(tf.io.encode_png, images, fn_output_signature=tf.string)}

    @tf.function(input_signature=[_spec(tf.float32, LATENT_DIM), _spec(tf.int32), _spec(tf.int32, 2)])
    def attention(self, latents: tf.Tensor, labels: tf.Tensor, queries: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.control_dependencies(self._check(labels, latents)):
            position = queries[:, 0] * MAP_SIDE + queries[:, 1]
        return {"attention_map": tf.reshape(tf.one_hot(position, MAP_SIDE**2), [-1, MAP_SIDE, MAP_SIDE])}


def save_small_model(base_path: pathlib.Path, version: int = 1) -> pathlib.Path:
    """Save the model as a version in `base_path`, and return the directory of the version."""
    model = _SmallModel()
    directory = base_path / str(version)
    signatures = {SERVING_DEFAULT: model.serving_default, GENERATE: model.generate, ATTENTION: model.attention}
    tf.saved_model.save(model, str(directory), signatures)
    return directory


def read_color(png: bytes) -> list[int]:
    """Return the color of a PNG file of the model: seed modulo 256, label, ten times the truncation."""
    image = tf.io.decode_png(png).numpy()
    assert image.shape == (SIDE, SIDE, 3) and np.all(image == image[0, 0])
    return image[0, 0].tolist()
