"""The protocol part of a record: how the values of metrics were computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from sagan_tf.evaluation.checks import count_reference_images
from sagan_tf.evaluation.metrics import Metric
from sagan_tf.evaluation.reference import Reference
from sagan_tf.features.extractor import Extractor
from sagan_tf.keras_backend import iterate_layers, keras


def describe_protocol(
    metrics: Sequence[tuple[Metric, int]],
    extractor: Extractor,
    reference: Reference | None,
    held_out: Reference | None = None,
) -> dict[str, Any]:
    """Return the protocol: images, extractor, formulas and reference.

    Args:
        metrics: Metrics with their numbers of images.
        extractor: The extractor of the features.
        reference: The reference; None if no metric needs one.
        held_out: Real images that were not trained on; None if no metric needs them.
    """
    protocol = {
        "num_samples": {metric.name: _count_images(metric, num_images, reference) for metric, num_images in metrics},
        "extractor": extractor.identifier,
        "preprocessing": extractor.preprocessing,
        "formulas": {metric.name: metric.family.protocol for metric, _ in metrics},
        "reference": None if reference is None else _describe_reference(metrics, reference),
    }
    if held_out is not None:
        protocol["held_out"] = {
            "images": held_out.provenance.images,
            "fingerprint": held_out.provenance.fingerprint,
            "num_samples": held_out.statistics.count,
            "unreadable": list(held_out.unreadable),
        }
    return protocol


def _count_images(metric: Metric, num_images: int, reference: Reference | None) -> int:
    """Return the number of images that a metric uses: as many as the reference has if sizes must be equal."""
    if reference is None or not metric.family.has_equal_sizes:
        return num_images
    return count_reference_images(metric, num_images, reference.statistics)


def _describe_reference(metrics: Sequence[tuple[Metric, int]], reference: Reference) -> dict[str, Any]:
    return {
        "images": reference.provenance.images,
        "fingerprint": reference.provenance.fingerprint,
        "num_samples": reference.statistics.count,
        "unreadable": list(reference.unreadable),
        "num_samples_used": {
            metric.name: count_reference_images(metric, num_images, reference.statistics)
            for metric, num_images in metrics
            if metric.family.required_of_reference
        },
    }


def get_compute_precision(network: keras.Model) -> str:
    """Return the narrowest compute dtype of a network's layers with weights."""
    dtypes = {layer.compute_dtype for layer in iterate_layers(network) if layer.weights}
    return min(dtypes, key=lambda name: tf.as_dtype(name).size)
