"""The only module that imports tensorflow_gan and tensorflow_hub.

`import tensorflow_gan` fails since TensorFlow 2.16, because its `__init__` imports classes derived from Estimators. Its
metrics modules do not need Estimators: they are imported one by one, without running the `__init__`.
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
_MAX_BLOCK_SIZE = 1024
INCEPTION_HANDLE = "https://tfhub.dev/tensorflow/tfgan/eval/inception/1"
"""TF-GAN's INCEPTION_TFHUB, copied because importing it would load tensorflow_hub."""


def compute_kernel_distance(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return TF-GAN's kernel distance of two sets of features and its standard error.

    With at most 1,024 images there is only one block, and the standard error is NaN.

    Args:
        first: Features `[n, d]`, in random order.
        second: Features `[m, d]`, in random order.

    Raises:
        UserError: One set is so much smaller than the other that a block would have less than two of its features.
    """
    check_kernel_sizes(len(first), len(second))
    function = _import_classifier_metrics().kernel_classifier_distance_and_std_from_activations
    distance, error = function(
        tf.constant(first), tf.constant(second), max_block_size=_MAX_BLOCK_SIZE, dtype=tf.float64
    )
    return float(distance), float(error)


def check_kernel_sizes(first: int, second: int) -> None:
    """Raise UserError if a block would have less than two features of the smaller set."""
    blocks = math.ceil(max(first, second) / _MAX_BLOCK_SIZE)
    if min(first, second) // blocks < 2:
        raise UserError(
            f"metrics: expected sets of more similar size for a kernel distance, received {first} and {second} images: "
            f"each of {blocks} blocks needs two of both sets"
        )


def fetch_from_hub(handle: str) -> str:
    """Return the directory of a TensorFlow Hub module.

    The module is downloaded unless it is in the hub's cache.

    Raises:
        OSError, RuntimeError, ValueError, tf.errors.OpError: The module could not be downloaded.
    """
    _provide_pkg_resources()
    return importlib.import_module("tensorflow_hub").resolve(handle)


@functools.cache
def _import_classifier_metrics() -> Any:
    for name in ("tensorflow_gan", "tensorflow_gan.python", "tensorflow_gan.python.eval"):
        if name not in sys.modules:
            sys.modules[name] = _create_package_without_init(name)
    return importlib.import_module("tensorflow_gan.python.eval.classifier_metrics")


def _create_package_without_init(name: str) -> types.ModuleType:
    """Return a module for a package, without running its `__init__`."""
    parent, _, last = name.rpartition(".")
    search_path = sys.modules[parent].__path__ if parent else None
    spec = importlib.machinery.PathFinder.find_spec(name, search_path)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"no package {name} in {search_path or 'the installed packages'}: {last}")
    module = types.ModuleType(name)
    module.__path__ = list(spec.submodule_search_locations)
    return module


def _provide_pkg_resources() -> None:
    """Provide the one function of pkg_resources that tensorflow_hub uses.

    tensorflow_hub 0.16 imports pkg_resources, which setuptools has removed in its release 81.
    """
    if "pkg_resources" not in sys.modules and importlib.util.find_spec("pkg_resources") is None:
        stand_in = types.ModuleType("pkg_resources")
        stand_in.parse_version = version.parse  # type: ignore[attr-defined]
        sys.modules["pkg_resources"] = stand_in
