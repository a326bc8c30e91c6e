"""Evaluation of images in a directory or of a data set."""

from __future__ import annotations

import functools
from collections.abc import Callable

from sagan_tf.config import EvaluationConfig
from sagan_tf.data.image_sets import is_directory, open_images, open_square_images
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.evaluation.checks import check_num_images
from sagan_tf.evaluation.evaluator import Evaluator
from sagan_tf.evaluation.metrics import Metric, has_reference_metric
from sagan_tf.evaluation.options import EvaluateOptions
from sagan_tf.evaluation.real_images import (
    check_held_out,
    find_held_out_images,
    find_reference_images,
    open_held_out,
)
from sagan_tf.evaluation.reference import Provenance, Reference
from sagan_tf.evaluation.reference_store import describe_images
from sagan_tf.evaluation.result import EvaluationResult
from sagan_tf.features.extraction import Extraction
from sagan_tf.features.extractor import Extractor


def evaluate_image_set(
    options: EvaluateOptions, evaluation: EvaluationConfig, metrics: list[Metric], extraction: Extraction
) -> EvaluationResult:
    """Evaluate the images that `options.images` names."""
    source = _open_source(options, extraction.extractor)
    check_num_images(metrics, source)
    size = {"resolution": source.resolution, "image_channels": source.image_channels}
    held_out_source = open_held_out(metrics, options.held_out, data_dir=options.data_dir, **size)
    check = functools.partial(check_held_out, options.held_out, held_out_source, metrics)
    reference = None
    if has_reference_metric(metrics) and evaluation.reference:
        reference = _find_image_reference(evaluation, options.data_dir, source, extraction, metrics, check)
    held_out = find_held_out_images(
        options.held_out, held_out_source, extraction, evaluation.reference_dir, metrics, reference
    )
    return Evaluator(extraction, metrics, reference, held_out=held_out).evaluate_images(source)


def _open_source(options: EvaluateOptions, extractor: Extractor) -> Source:
    """Return the images to evaluate, by default of the extractor's size and channels."""
    image_channels = options.image_channels or extractor.channels
    if is_directory(options.images):
        return open_square_images(options.images, image_channels)
    resolution = options.resolution or (extractor.size or (0, 0))[0]
    if not resolution:
        raise UserError(
            f"resolution: expected a size for {options.images}, since the extractor {extractor.name} accepts any; pass "
            "--resolution"
        )
    return open_images(
        "images",
        options.images,
        data_dir=options.data_dir,
        resolution=resolution,
        image_channels=image_channels or 3,
    )


def _find_image_reference(
    evaluation: EvaluationConfig,
    data_dir: str,
    images: Source,
    extraction: Extraction,
    metrics: list[Metric],
    check: Callable[[Provenance], object],
) -> Reference:
    """Return the named reference, with the size and channels of the images.

    `check` is called before the reference is computed, which may take hours.
    """
    text = evaluation.reference
    source = None
    if not text.endswith(".npz"):
        size = {"resolution": images.resolution, "image_channels": images.image_channels}
        source = open_images("reference", text, data_dir=data_dir, **size)
        check(describe_images(text, source, extraction.extractor))
    return find_reference_images(text, source, extraction, evaluation.reference_dir, metrics, images.num_examples)
