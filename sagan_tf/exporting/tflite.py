"""The generator as TFLite models, for phones and small devices: one picture at a time, in several precisions.

The only door to `ai_edge_litert`.
"""

from __future__ import annotations

import concurrent.futures
import functools
import io
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.config import ModelConfig
from sagan_tf.errors import UserError
from sagan_tf.exporting.inference_graph import Tensors, WeightStore, inference_graph
from sagan_tf.exporting.model_card import card_text
from sagan_tf.exporting.signatures import generator_sizes, input_specs
from sagan_tf.generation.latents import latents_of_seeds
from sagan_tf.keras_backend import keras
from sagan_tf.networks import build_generator
from sagan_tf.serving.contract import GENERATOR_SIGNATURES, MODEL_CARD, SERVING_DEFAULT
from sagan_tf.text import install_command

_CALIBRATION_PICTURES = 32
_CALIBRATION_SEED = 2**40  # far from those of pictures that people look at, and of the parity report
_FORMS = {"float32": "auto_tflite", "float16": "auto_tflite", "dynamic_int8": "subpixel", "int8": "subpixel"}
"""Of convolutions. The forms with least arithmetic are fastest here too, but their sums lose too much when kernels have
8 bits."""
_MOST_INTERPRETERS = 4
"""That make pictures of one model at the same time; each packs the weights anew, in as much memory as they take."""
LABELS_FILE = "labels.txt"
"""In the model, which is also a zip file: names of the classes, one a line."""


class LiteGenerator:
    """A TFLite model as a function, to be called by one thread at a time.

    Args:
        model: the file's content.
        threads: that it computes with; 0: one a core. A single picture is computed by all of them; several are dealt
            out to interpreters, as the model takes one at a time and parts of it are too small to be shared.
    """

    def __init__(self, model: bytes, threads: int = 0) -> None:
        self._content = model
        self._threads = threads or os.cpu_count() or 1
        self._shared = self._runner(self._threads)
        self._shape = self._shared.get_output_details()["images"]["shape"][1:]

    def __call__(self, latents: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Images float32 [n, height, width, channels] of latents float32 [n, latent_dim] and labels int32 [n]."""
        images: np.ndarray = np.empty((len(labels), *self._shape), np.float32)

        def fill(runner: Any, rows: range) -> None:
            for row in rows:
                images[row] = runner(latents=latents[row : row + 1], labels=labels[row : row + 1])["images"][0]

        if min(len(labels), self._threads) < 2:
            fill(self._shared, range(len(labels)))
            return images
        parts = [range(first, len(labels), len(self._several)) for first in range(len(self._several))]
        with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(fill, self._several, parts))
        return images

    @functools.cached_property
    def _several(self) -> list[Any]:
        count = min(self._threads, _MOST_INTERPRETERS)
        return [self._runner(self._threads // count) for _ in range(count)]

    def _runner(self, threads: int) -> Any:
        model = _interpreter()(model_content=self._content, num_threads=threads)
        return model.get_signature_runner(SERVING_DEFAULT)


def check_tflite() -> None:
    """Raise UserError if what runs TFLite models is not installed."""
    _interpreter()


def _interpreter() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise UserError(
            f"formats: expected the package ai-edge-litert for tflite, received none ({error}); install it: "
            f"{install_command('ai-edge-litert')}"
        ) from error
    return Interpreter


def convert(
    network: keras.Model, config: ModelConfig, num_classes: int, precisions: tuple[str, ...], card: dict[str, Any]
) -> Iterator[tuple[str, bytes]]:
    """Convert a generator.

    Args:
        network: of `build_generator(config)`.
        config: of the network.
        num_classes: 0 for a generator without classes.
        precisions: of `options.PRECISIONS`.
        card: goes into each model.

    Yields:
        Each precision and its model, a file's content.
    """
    made: dict[tuple[str, bool], Any] = {}
    for precision in precisions:
        kind = _FORMS[precision], precision == "float16"
        if kind not in made:
            made[kind] = _constant_function(network, config, kind[0], in_halves=kind[1])
        converter = tf.lite.TFLiteConverter.from_concrete_functions([made[kind]], tf.Module())
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.representative_dataset = _calibration(config.latent_dim, num_classes)
        with warnings.catch_warnings():  # it calibrates with an interpreter of its own that is on its way out
            warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated", UserWarning)
            model = converter.convert()
        yield precision, _with_card(model, card)


def _constant_function(network: keras.Model, config: ModelConfig, form: str, *, in_halves: bool) -> Any:
    """Return the generator for one picture, with constants for weights and its convolutions in some form.

    Half precision loses most where gain and bias of a class are rounded, on which all of a feature map depends. They
    are few: `in_halves` makes each the sum of two numbers, what half precision holds of it and the rest.
    """
    twin = build_generator(config, form)
    twin.set_weights(network.get_weights())
    specs = input_specs(GENERATOR_SIGNATURES[SERVING_DEFAULT], generator_sizes(network))
    ones = {name: tf.TensorSpec([1, *spec.shape[1:]], spec.dtype, name=name) for name, spec in specs.items()}
    store = WeightStore()

    def images(latents: tf.Tensor, labels: tf.Tensor) -> Tensors:
        return {"images": twin([latents, labels], training=False)}

    graph = inference_graph(twin, images, ones, store)

    def serving_default(**inputs: tf.Tensor) -> Tensors:
        return graph(inputs, lambda key: tf.constant(store.values[key]), rows_in_halves if in_halves else None)

    def rows_in_halves(key: str, labels: tf.Tensor) -> tf.Tensor:
        table = store.values[key]
        held = table.astype(np.float16).astype(table.dtype)
        return tf.gather(held, labels) + tf.gather(table - held, labels)

    return tf.function(serving_default, autograph=False).get_concrete_function(**ones)


def _calibration(latent_dim: int, num_classes: int) -> Callable[[], Iterator[dict[str, np.ndarray]]]:
    """Inputs by which ranges of activations are found: of as many classes as there is time for."""
    seeds: np.ndarray = _CALIBRATION_SEED + np.arange(_CALIBRATION_PICTURES)
    latents = latents_of_seeds(seeds, latent_dim).numpy()
    labels: np.ndarray = (np.arange(_CALIBRATION_PICTURES) * max(num_classes, 1) // _CALIBRATION_PICTURES).astype(
        np.int32
    )

    def examples() -> Iterator[dict[str, np.ndarray]]:
        for row in range(_CALIBRATION_PICTURES):
            yield {"latents": latents[row : row + 1], "labels": labels[row : row + 1]}

    return examples


def _with_card(model: bytes, card: dict[str, Any]) -> bytes:
    """Append the model card and class names to a model as a zip file, TFLite's own format for metadata."""
    file = io.BytesIO(model)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(MODEL_CARD, card_text(card))
        lines = (" ".join(name.splitlines()) for name in card["class_names"])
        # Names of folders whose bytes are no text cannot be encoded.
        archive.writestr(LABELS_FILE, "".join(f"{line}\n" for line in lines).encode(errors="replace"))
    return file.getvalue()
