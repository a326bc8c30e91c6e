"""PNG encoding of image batches inside a graph, so that all outputs of a generator have the same bytes."""

from __future__ import annotations

import tensorflow as tf

_COMPRESSION = 3
"""Compression level of zlib from 0 to 9. Level 9 makes files 3 % smaller and takes a third longer."""


def encode_pngs(images: tf.Tensor) -> tf.Tensor:
    """Encode images uint8 [n, height, width, channels] as PNG files, string [n]."""

    def encode(image: tf.Tensor) -> tf.Tensor:
        return tf.io.encode_png(image, compression=_COMPRESSION)

    return tf.map_fn(encode, images, fn_output_signature=tf.string)
