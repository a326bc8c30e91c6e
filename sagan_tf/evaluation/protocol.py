"""The protocol part of a record: how the values of metrics were computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from sagan_tf.evaluation.checks import count_reference_images
from sagan_tf.evaluation.metric_family import ClassValues, Value
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
        "num_samples": {metric.name: num_images for metric, num_images in metrics},
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


def describe_class_values(
    values: Mapping[str, Value | ClassValues], reference: Reference | None, worst_classes: Mapping[str, str]
) -> dict[str, Any]:
    """Return the record entries `worst_class` and `class_values`, without those that would be empty.

    Args:
        values: The values of metrics by name.
        reference: The reference, whose classes those of `ClassValues` are.
        worst_classes: Worst classes of other metrics.
    """
    class_names = reference.provenance.class_names if reference is not None else ()
    worst_classes, class_values = dict(worst_classes), {}
    for name, value in values.items():
        if isinstance(value, ClassValues):
            worst_classes[name] = class_names[value.worst_class]
            class_values[name] = {
                class_names[label]: {part: float(numbers[label]) for part, numbers in value.by_class.items()}
                for label in value.list_classes()
            }
    entries = {"worst_class": worst_classes, "class_values": class_values}
    return {name: entry for name, entry in entries.items() if entry}


def drop_class_values(values: Mapping[str, Value | ClassValues]) -> dict[str, Value]:
    """Return the values of metrics over all classes."""
    return {name: value.value if isinstance(value, ClassValues) else value for name, value in values.items()}


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
