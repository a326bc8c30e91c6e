"""EfficientNet-Lite0 with packaged ImageNet weights: an extractor for color images that needs no internet connection.

The network is that of TensorFlow's `efficientnet/lite` (Tan and Le 2019, arXiv 1905.11946, without squeeze-and-
excitation and with ReLU6). Its batch normalizations are part of the packaged convolutions: at inference both are affine
maps. `tools/make_efficientnet_lite0.py` made the file; `efficientnet_lite0_weights/PROVENANCE.md` names its source.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import io

import numpy as np

from sagan_tf.environment.keras_settings import keras_defaults
from sagan_tf.keras_backend import keras

RESOLUTION = 224
NUM_CLASSES = 1000
NUM_FEATURES = 1280

WEIGHTS = "efficientnet_lite0_weights/efficientnet_lite0.npz"
"""The packaged file: float16 arrays `LAYER_kernel` and `LAYER_bias`, and `class_names`, ImageNet's WordNet IDs."""

_STEM_FILTERS = 32
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Table 1 of the paper. Columns: blocks, kernel size, stride of the first block, expansion, filters of each stage."""


@keras_defaults()
def build_network() -> keras.Model:
    """Build the network without its weights.

    Returns:
        A model from images float32 `[batch, 224, 224, 3]` in [-1, 1] to features float32 `[batch, 1280]` in [0, 6] and
        logits float32 `[batch, 1000]`.
    """
    images = keras.Input((RESOLUTION, RESOLUTION, 3), name="images")
    # The network was trained on (pixel - 127) / 128, and here pixel = 127.5 (image + 1).
    x = keras.layers.Rescaling(127.5 / 128, 0.5 / 128, name="rescaling")(images)
    x = _convolve(x, _STEM_FILTERS, 3, 2, name="stem")
    number = 0
    for blocks, kernel_size, stride, expansion, filters in _STAGES:
        for index in range(blocks):
            name = f"block_{number:02d}"
            x = _apply_block(x, kernel_size, stride if index == 0 else 1, expansion, filters, name=name)
            number += 1
    x = _convolve(x, NUM_FEATURES, 1, 1, name="head")
    features = keras.layers.GlobalAveragePooling2D(name="features")(x)
    logits = keras.layers.Dense(NUM_CLASSES, name="logits")(features)
    return keras.Model(images, [features, logits], name="efficientnet_lite0")


def load_network() -> tuple[keras.Model, tuple[str, ...], str]:
    """Load the network with its packaged weights.

    Returns:
        The network, which computes in float32; the names of its classes; the digest of the packaged file.
    """
    content = importlib.resources.files("sagan_tf.features").joinpath(WEIGHTS).read_bytes()
    network = build_network()
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for layer in network.layers:
            if layer.weights:
                layer.set_weights([arrays[f"{layer.name}_{kind}"].astype(np.float32) for kind in ("kernel", "bias")])
        class_names = tuple(str(name) for name in arrays["class_names"])
    return network, class_names, hashlib.sha256(content).hexdigest()[:16]


def _convolve(x: keras.KerasTensor, filters: int, kernel_size: int, stride: int, *, name: str) -> keras.KerasTensor:
    """Apply a convolution and ReLU6."""
    x = keras.layers.Conv2D(filters, kernel_size, stride, padding="same", name=name)(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)


def _apply_block(
    x: keras.KerasTensor, kernel_size: int, stride: int, expansion: int, filters: int, *, name: str
) -> keras.KerasTensor:
    """Apply an inverted residual block: expand, depthwise convolution, project."""
    inputs = x
    if expansion > 1:
        x = _convolve(x, expansion * x.shape[-1], 1, 1, name=f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(kernel_size, stride, padding="same", name=f"{name}_depthwise")(x)
    x = keras.layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = keras.layers.Conv2D(filters, 1, name=f"{name}_project")(x)
    return keras.layers.Add(name=f"{name}_add")([inputs, x]) if inputs.shape == x.shape else x
