"""A folder of TFLite models, the report of how they compare with the generator, and a picture of it."""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib

import numpy as np

from sagan_tf.config import Config
from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.distribution.strategy import create_local_strategy
from sagan_tf.errors import UserError
from sagan_tf.exporting.model_card import Origin, model_card, write_card
from sagan_tf.exporting.options import ExportOptions
from sagan_tf.exporting.parity import Features, Parity, compare, pooled_pixels
from sagan_tf.exporting.signatures import generator_sizes
from sagan_tf.exporting.tflite import LiteGenerator, convert
from sagan_tf.features.extraction import Extraction
from sagan_tf.features.extractors import PACKAGED_EXTRACTORS, ExtractorOptions, open_extractor
from sagan_tf.generation.inference import compiled_generator
from sagan_tf.generation.latents import latents_of_seeds
from sagan_tf.keras_backend import keras
from sagan_tf.networks.architectures import used_classes
from sagan_tf.serving.contract import GENERATOR_SIGNATURES, SERVING_DEFAULT, of_one
from sagan_tf.visualization.image_grid import save_png, sheet

_logger = logging.getLogger("sagan_tf")
PARITY_REPORT, PARITY_PICTURE = "parity.json", "parity.png"
_SHOWN_PICTURES = 8
_BATCH = 16


def write_tflite(network: keras.Model, origin: Origin, options: ExportOptions, folder: pathlib.Path) -> None:
    """Write `generator_<precision>.tflite` for each precision, the parity report, its picture and the model card.

    A model whose pictures differ by more than `largest_mean_error` is reported and left out.

    Raises:
        UserError: none is left.
    """
    config = origin.config.model
    classes = used_classes(config)
    signatures = {SERVING_DEFAULT: of_one(GENERATOR_SIGNATURES[SERVING_DEFAULT])}
    card = model_card(origin, classes, generator_sizes(network), signatures)
    latents, labels = _parity_inputs(config.latent_dim, classes, options.parity_samples)
    reference = _in_batches(network, latents, labels)
    features, features_name = _features(origin.config)
    rows, reports = {"generator": reference[:_SHOWN_PICTURES]}, {}
    write_card(card, folder)
    for precision, model in convert(network, config, classes, tuple(dict.fromkeys(options.tflite_precisions)), card):
        images = LiteGenerator(model)(latents, labels)
        parity = compare(images, reference, features, features_name)
        kept = parity.mean_error <= options.largest_mean_error
        rows[precision], reports[precision] = images[:_SHOWN_PICTURES], _report(parity, model, kept)
        _log(precision, parity, len(model), kept)
        if kept:
            (folder / f"generator_{precision}.tflite").write_bytes(model)
    if not any(report["kept"] for report in reports.values()):
        raise UserError(f"largest_mean_error: expected one that a model keeps, received {options.largest_mean_error}")
    (folder / PARITY_REPORT).write_text(json.dumps(reports, indent=2) + "\n", encoding="utf-8")
    pictures = to_uint8(np.concatenate(list(rows.values()))).numpy()
    save_png(sheet(pictures, len(reference[:_SHOWN_PICTURES]), row_names=list(rows)), folder / PARITY_PICTURE)


def _report(parity: Parity, model: bytes, kept: bool) -> dict[str, object]:
    return {**dataclasses.asdict(parity), "bytes": len(model), "kept": kept}


def _log(precision: str, parity: Parity, size: int, kept: bool) -> None:
    errors = f"pixels differ by at most {parity.max_error:.2g}, {parity.mean_error:.2g} in the mean"
    outcome = "" if kept else "; left out: --largest_mean_error"
    _logger.info(
        "%-12s %7.1f MB, %s, Frechet distance %.3g%s", precision, size / 1e6, errors, parity.frechet_distance, outcome
    )


def _parity_inputs(latent_dim: int, num_classes: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of the first seeds, classes in turn."""
    latents = latents_of_seeds(np.arange(count), latent_dim).numpy()
    return latents, (np.arange(count) % max(num_classes, 1)).astype(np.int32)


def _in_batches(network: keras.Model, latents: np.ndarray, labels: np.ndarray) -> np.ndarray:
    function = compiled_generator(network)
    starts = range(0, len(labels), _BATCH)
    return np.concatenate([function(latents[i : i + _BATCH], labels[i : i + _BATCH]).numpy() for i in starts])


def _features(config: Config) -> tuple[Features, str]:
    """Return the features of the run's extractor if it is a packaged one, and else means of pixels; and their name."""
    if config.evaluation.extractor not in PACKAGED_EXTRACTORS:
        return pooled_pixels, "means of 4 x 4 parts of a picture"
    extractor = open_extractor(ExtractorOptions(config.evaluation.extractor))
    extraction = Extraction(extractor, create_local_strategy("one_device", 1), _BATCH)

    def features(images: np.ndarray) -> np.ndarray:
        pictures = to_uint8(images).numpy()
        return np.concatenate(
            [extraction.of_images(pictures[i : i + _BATCH])[0] for i in range(0, len(pictures), _BATCH)]
        )

    return features, extractor.name
