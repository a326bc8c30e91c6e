"""The directory of TFLite models, with a report that compares them."""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib

import numpy as np

from sagan_tf.config import Config
from sagan_tf.config.option_names import PACKAGED_EXTRACTORS
from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.distribution.strategy import create_local_strategy
from sagan_tf.errors import UserError
from sagan_tf.exporting.model_card import Origin, build_model_card, write_card
from sagan_tf.exporting.options import ExportOptions
from sagan_tf.exporting.parity import Features, Parity, compare_images, pool_pixels
from sagan_tf.exporting.signatures import get_generator_sizes
from sagan_tf.exporting.tflite import TFLiteGenerator, convert_generator
from sagan_tf.features.extraction import Extraction
from sagan_tf.features.extractors import ExtractorOptions, open_extractor
from sagan_tf.generation.inference import compile_generator
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.keras_backend import keras
from sagan_tf.networks.architectures import count_used_classes
from sagan_tf.serving.contract import GENERATOR_SIGNATURES, SERVING_DEFAULT, set_batch_size_to_one
from sagan_tf.visualization.image_grid import draw_image_sheet, save_png

_logger = logging.getLogger("sagan_tf")
PARITY_REPORT, PARITY_IMAGE = "parity.json", "parity.png"
_NUM_SHOWN_IMAGES = 8
_BATCH_SIZE = 16


def write_tflite(network: keras.Model, origin: Origin, options: ExportOptions, directory: pathlib.Path) -> None:
    """Write the TFLite models of a generator, their parity report and the model card.

    The files are `generator_<precision>.tflite` for each precision, `parity.json`, `parity.png` and the card. A model
    whose images differ by more than `largest_mean_error` is in the report, but its file is not written.

    Args:
        network: The generator.
        origin: The origin of the generator.
        options: The precisions, the number of compared images and the largest mean error.
        directory: An empty directory.

    Raises:
        UserError: If no model is within `largest_mean_error`.
    """
    config = origin.config.model
    num_classes = count_used_classes(config)
    signatures = {SERVING_DEFAULT: set_batch_size_to_one(GENERATOR_SIGNATURES[SERVING_DEFAULT])}
    card = build_model_card(origin, num_classes, get_generator_sizes(network), signatures)
    latents, labels = _make_parity_inputs(config.latent_dim, num_classes, options.parity_samples)
    reference = _generate_in_batches(network, latents, labels)
    features, features_name = _choose_features(origin.config)
    rows, parities = {"generator": reference[:_NUM_SHOWN_IMAGES]}, {}
    reports: dict[str, dict[str, object]] = {}
    write_card(card, directory)
    precisions = tuple(dict.fromkeys(options.tflite_precisions))
    for precision, model in convert_generator(network, config, num_classes, precisions, card):
        images = TFLiteGenerator(model)(latents, labels)
        parity = compare_images(images, reference, features, features_name)
        is_kept = parity.mean_error <= options.largest_mean_error
        rows[precision], parities[precision] = images[:_NUM_SHOWN_IMAGES], parity
        reports[precision] = {**dataclasses.asdict(parity), "bytes": len(model), "kept": is_kept}
        _log_parity(precision, parity, len(model), is_kept)
        if is_kept:
            (directory / f"generator_{precision}.tflite").write_bytes(model)
    if not any(report["kept"] for report in reports.values()):
        best = min(parities, key=lambda precision: parities[precision].mean_error)
        raise UserError(
            f"largest_mean_error: no TFLite model is within {options.largest_mean_error}; the best, {best}, has a mean "
            f"error of {parities[best].mean_error:.2g}; allow more with --largest_mean_error"
        )
    (directory / PARITY_REPORT).write_text(json.dumps(reports, indent=2) + "\n", encoding="utf-8")
    images = to_uint8(np.concatenate(list(rows.values()))).numpy()
    save_png(
        draw_image_sheet(images, len(reference[:_NUM_SHOWN_IMAGES]), row_names=list(rows)), directory / PARITY_IMAGE
    )


def _log_parity(precision: str, parity: Parity, size: int, is_kept: bool) -> None:
    outcome = "" if is_kept else "; left out: above --largest_mean_error"
    _logger.info(
        "%-12s %7.1f MB, pixel differences: largest %.2g, mean %.2g; Frechet distance %.3g%s",
        precision,
        size / 1e6,
        parity.max_error,
        parity.mean_error,
        parity.frechet_distance,
        outcome,
    )


def _make_parity_inputs(latent_dim: int, num_classes: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the latents of the first seeds, and labels that take the classes in turn."""
    latents = draw_latents_from_seeds(np.arange(count), latent_dim).numpy()
    return latents, (np.arange(count) % max(num_classes, 1)).astype(np.int32)


def _generate_in_batches(network: keras.Model, latents: np.ndarray, labels: np.ndarray) -> np.ndarray:
    function = compile_generator(network)
    batches = [slice(start, start + _BATCH_SIZE) for start in range(0, len(labels), _BATCH_SIZE)]
    return np.concatenate([function(latents[batch], labels[batch]).numpy() for batch in batches])


def _choose_features(config: Config) -> tuple[Features, str]:
    """Return the features by which images are compared, and their name.

    They are those of the run's extractor if its weights are packaged, and means of image regions otherwise.
    """
    if config.evaluation.extractor not in PACKAGED_EXTRACTORS:
        return pool_pixels, "means of a 4 x 4 grid of image regions"
    extractor = open_extractor(ExtractorOptions(config.evaluation.extractor))
    extraction = Extraction(extractor, create_local_strategy("one_device", 1), _BATCH_SIZE)

    def features(images: np.ndarray) -> np.ndarray:
        pixels = to_uint8(images).numpy()
        starts = range(0, len(pixels), _BATCH_SIZE)
        return np.concatenate([extraction.extract_from_images(pixels[i : i + _BATCH_SIZE])[0] for i in starts])

    return features, extractor.name
