"""The only door to tensorflow_gan and tensorflow_hub.

`import tensorflow_gan` fails since TensorFlow 2.16 (it derives from Estimators). Its modules of metrics do not: they
are imported one by one, past the package's own `__init__`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import importlib.util
import math
import sys
import types
from typing import Any

import numpy as np
import tensorflow as tf
from packaging import version

from sagan_tf.errors import UserError

INCEPTION_IMAGE_SIZE = 299
INCEPTION_FEATURES = 2048
INCEPTION_CLASSES = 1008
_KERNEL_BLOCK = 1024
INCEPTION_HANDLE = "https://tfhub.dev/tensorflow/tfgan/eval/inception/1"
"""What TF-GAN calls INCEPTION_TFHUB; importing it from there would load the hub."""


def kernel_distance(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """TF-GAN's kernel distance of two sets of features, [n, d] and [m, d] in random order, and its standard error.

    With at most 1,024 images, which are one block, there is no standard error: it is NaN.

    Raises:
        UserError: one set is so much smaller that a block would have less than two of it.
    """
    check_kernel_sizes(len(first), len(second))
    function = _classifier_metrics().kernel_classifier_distance_and_std_from_activations
    distance, error = function(tf.constant(first), tf.constant(second), max_block_size=_KERNEL_BLOCK, dtype=tf.float64)
    return float(distance), float(error)


def check_kernel_sizes(first: int, second: int) -> None:
    """Raise UserError if one set is so much smaller than the other that a block would have less than two of it."""
    blocks = math.ceil(max(first, second) / _KERNEL_BLOCK)
    if min(first, second) // blocks < 2:
        raise UserError(
            f"metrics: expected sets of features of more equal sizes for a kernel distance, received {first} and "
            f"{second}: each of {blocks} blocks needs two of both"
        )


def fetch_from_hub(handle: str) -> str:
    """Return the folder of a TensorFlow Hub module, fetched unless it has been before.

    Raises:
        OSError, RuntimeError, ValueError, tf.errors.OpError: it could not be fetched.
    """
    _provide_pkg_resources()
    return importlib.import_module("tensorflow_hub").resolve(handle)


@functools.cache
def _classifier_metrics() -> Any:
    for name in ("tensorflow_gan", "tensorflow_gan.python", "tensorflow_gan.python.eval"):
        if name not in sys.modules:
            sys.modules[name] = _package_without_its_init(name)
    return importlib.import_module("tensorflow_gan.python.eval.classifier_metrics")


def _package_without_its_init(name: str) -> types.ModuleType:
    parent, _, last = name.rpartition(".")
    places = sys.modules[parent].__path__ if parent else None
    spec = importlib.machinery.PathFinder.find_spec(name, places)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"no package {name} among {places or 'the installed ones'}: {last}")
    module = types.ModuleType(name)
    module.__path__ = list(spec.submodule_search_locations)
    return module


def _provide_pkg_resources() -> None:
    """tensorflow_hub 0.16 takes one function from pkg_resources, which setuptools has no more since its release 81."""
    if "pkg_resources" not in sys.modules and importlib.util.find_spec("pkg_resources") is None:
        stand_in = types.ModuleType("pkg_resources")
        stand_in.parse_version = version.parse  # type: ignore[attr-defined]
        sys.modules["pkg_resources"] = stand_in
