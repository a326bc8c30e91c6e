"""TFLite models of a generator, for phones and small devices.

They generate one image at a time, in several precisions. This is the only module that imports `ai_edge_litert`.
"""

from __future__ import annotations

import concurrent.futures
import functools
import io
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.config import ModelConfig
from sagan_tf.environment.cores import count_usable_cores
from sagan_tf.errors import UserError
from sagan_tf.exporting.inference_graph import Tensors, WeightStore, build_inference_graph
from sagan_tf.exporting.model_card import format_card
from sagan_tf.exporting.signatures import build_input_specs, get_generator_sizes
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.keras_backend import keras
from sagan_tf.networks import build_generator
from sagan_tf.serving.contract import GENERATOR_SIGNATURES, MODEL_CARD, SERVING_DEFAULT
from sagan_tf.text import format_install_command

_NUM_CALIBRATION_IMAGES = 32
_CALIBRATION_SEED = 2**40
"""Far from the seeds of images that users generate, and from those of the parity report."""
_CONVOLUTION_FORMS = {
    "float32": "auto_tflite",
    "float16": "auto_tflite",
    "dynamic_int8": "subpixel",
    "int8": "subpixel",
}
"""Forms of the convolutions by precision.

The forms with the least arithmetic are the fastest here too, but their sums lose too much with 8-bit kernels.
"""
_MAX_INTERPRETERS = 4
"""Interpreters that run one model at the same time; each packs the weights again, in as much memory as they take."""
LABELS_FILE = "labels.txt"
"""File inside a model, which is also a zip file: names of the classes, one per line."""


class TFLiteGenerator:
    """A TFLite model as a function, for one thread at a time.

    Args:
        model: The content of the model's file.
        threads: Number of threads; 0: one for each core that the process may use. A single image is computed by all of
            them. Several images are distributed over interpreters, because a model takes one image at a time and parts
            of an image are too small to be shared.
    """

    def __init__(self, model: bytes, threads: int = 0) -> None:
        self._content = model
        self._threads = threads or count_usable_cores()
        self._single_runner = self._create_runner(self._threads)
        self._shape = self._single_runner.get_output_details()["images"]["shape"][1:]

    def __call__(self, latents: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Generate images float32 [n, height, width, channels].

        Args:
            latents: float32 [n, latent_dim].
            labels: int32 [n].
        """
        images: np.ndarray = np.empty((len(labels), *self._shape), np.float32)

        def fill(runner: Any, rows: range) -> None:
            for row in rows:
                images[row] = runner(latents=latents[row : row + 1], labels=labels[row : row + 1])["images"][0]

        if min(len(labels), self._threads) < 2:
            fill(self._single_runner, range(len(labels)))
            return images
        parts = [range(first, len(labels), len(self._runners)) for first in range(len(self._runners))]
        with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(fill, self._runners, parts))
        return images

    @functools.cached_property
    def _runners(self) -> list[Any]:
        count = min(self._threads, _MAX_INTERPRETERS)
        return [self._create_runner(self._threads // count) for _ in range(count)]

    def _create_runner(self, threads: int) -> Any:
        model = _import_interpreter()(model_content=self._content, num_threads=threads)
        return model.get_signature_runner(SERVING_DEFAULT)


def check_tflite() -> None:
    """Raise UserError if the package that runs TFLite models is not installed."""
    _import_interpreter()


def _import_interpreter() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise UserError(
            f"formats: tflite needs the package ai-edge-litert, which cannot be imported ({error}); install it: "
            f"{format_install_command('ai-edge-litert')}"
        ) from error
    return Interpreter


def convert_generator(
    network: keras.Model, config: ModelConfig, num_classes: int, precisions: tuple[str, ...], card: dict[str, Any]
) -> Iterator[tuple[str, bytes]]:
    """Convert a generator to TFLite.

    Args:
        network: A network of `build_generator(config)`.
        config: The configuration of the network.
        num_classes: The number of classes; 0 for a generator without classes.
        precisions: Precisions of `options.PRECISIONS`.
        card: The model card, which is stored in each model.

    Yields:
        Each precision, and the content of the file of its model.
    """
    functions: dict[tuple[str, bool], Any] = {}
    for precision in precisions:
        key = _CONVOLUTION_FORMS[precision], precision == "float16"
        if key not in functions:
            functions[key] = _trace_constant_function(network, config, key[0], in_halves=key[1])
        converter = tf.lite.TFLiteConverter.from_concrete_functions([functions[key]], tf.Module())
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.representative_dataset = _make_calibration_examples(config.latent_dim, num_classes)
        with warnings.catch_warnings():  # the converter calibrates with TensorFlow's own, deprecated interpreter
            warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated", UserWarning)
            model = converter.convert()
        yield precision, _append_card(model, card)


def _trace_constant_function(network: keras.Model, config: ModelConfig, form: str, *, in_halves: bool) -> Any:
    """Trace a generator with constant weights, for a batch of one image.

    Half precision loses most where the gain and bias of a class are rounded, because all of a feature map depends on
    them. They are few: `in_halves` stores each as the sum of two numbers, its value in half precision and the rest.
    `form` is the form of convolutions.
    """
    twin = build_generator(config, form)
    twin.set_weights(network.get_weights())
    batch_specs = build_input_specs(GENERATOR_SIGNATURES[SERVING_DEFAULT], get_generator_sizes(network))
    specs = {name: tf.TensorSpec([1, *spec.shape[1:]], spec.dtype, name=name) for name, spec in batch_specs.items()}
    store = WeightStore()

    def images(latents: tf.Tensor, labels: tf.Tensor) -> Tensors:
        return {"images": twin([latents, labels], training=False)}

    graph = build_inference_graph(twin, images, specs, store)

    def serving_default(**inputs: tf.Tensor) -> Tensors:
        return graph(inputs, lambda key: tf.constant(store.values[key]), gather_in_halves if in_halves else None)

    def gather_in_halves(key: str, labels: tf.Tensor) -> tf.Tensor:
        table = store.values[key]
        rounded = table.astype(np.float16).astype(table.dtype)
        return tf.gather(rounded, labels) + tf.gather(table - rounded, labels)

    return tf.function(serving_default, autograph=False).get_concrete_function(**specs)


def _make_calibration_examples(latent_dim: int, num_classes: int) -> Callable[[], Iterator[dict[str, np.ndarray]]]:
    """Return a function that gives inputs for the calibration of int8 models.

    The converter finds the ranges of activations from them. The labels are spread evenly over the classes.
    """
    seeds: np.ndarray = _CALIBRATION_SEED + np.arange(_NUM_CALIBRATION_IMAGES)
    latents = draw_latents_from_seeds(seeds, latent_dim).numpy()
    labels: np.ndarray = (np.arange(_NUM_CALIBRATION_IMAGES) * max(num_classes, 1) // _NUM_CALIBRATION_IMAGES).astype(
        np.int32
    )

    def examples() -> Iterator[dict[str, np.ndarray]]:
        for row in range(_NUM_CALIBRATION_IMAGES):
            yield {"latents": latents[row : row + 1], "labels": labels[row : row + 1]}

    return examples


def _append_card(model: bytes, card: dict[str, Any]) -> bytes:
    """Append the model card and the class names to a model.

    They are in a zip file, TFLite's own format for metadata.
    """
    file = io.BytesIO(model)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(MODEL_CARD, format_card(card))
        lines = (" ".join(name.splitlines()) for name in card["class_names"])
        # A class may be named after a directory whose name has bytes that are not UTF-8.
        archive.writestr(LABELS_FILE, "".join(f"{line}\n" for line in lines).encode(errors="replace"))
    return file.getvalue()
