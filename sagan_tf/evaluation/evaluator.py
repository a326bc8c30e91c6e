"""Evaluation of metrics on the images of a generator or a source, with a record of the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sagan_tf.config import ModelConfig
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.evaluation.checks import (
    ClassIndices,
    ImageProperties,
    check_class_counts,
    check_evaluation,
    check_metrics_match_extractor,
    check_num_images,
    check_reference_extractor,
    require_reference,
)
from sagan_tf.evaluation.class_values import ClassValues, describe_classes
from sagan_tf.evaluation.label_distribution import REFERENCE, UNIFORM, count_classes
from sagan_tf.evaluation.metrics import Metric, has_reference_metric
from sagan_tf.evaluation.protocol import describe_protocol, get_compute_precision
from sagan_tf.evaluation.reference import Reference
from sagan_tf.evaluation.result import EvaluationResult
from sagan_tf.features.extraction import Extraction, FeatureBatch, draw_labels, show_progress
from sagan_tf.features.statistics import IMAGES, ImageSetStatistics, StatisticsAccumulator
from sagan_tf.keras_backend import keras


class Evaluator:
    """Evaluator of metrics with one extractor.

    Args:
        extraction: Runs the extractor.
        metrics: The metrics to compute.
        reference: The reference to compare with; None if no metric needs one.
        held_out: Real images that were not trained on; None if no metric needs them.
        labels: Distribution of the labels of generated images: `UNIFORM`, or `REFERENCE`, which needs a reference.
        notes: More entries of every record.

    Raises:
        UserError: A metric is defined for another extractor, the reference has features of another extractor, or a
            metric needs a reference that was not given.
    """

    def __init__(
        self,
        extraction: Extraction,
        metrics: Sequence[Metric],
        reference: Reference | None,
        labels: str = UNIFORM,
        held_out: Reference | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        self._extraction = extraction
        self._extractor = extraction.extractor
        self._metrics = list(metrics)
        self._reference = reference
        self._held_out = held_out
        self._labels = labels
        self._notes = dict(notes or {})
        check_metrics_match_extractor(self._extractor.name, metrics)
        if has_reference_metric(metrics) or labels == REFERENCE:
            check_reference_extractor(require_reference(reference), self._extractor)

    def evaluate_generator(
        self, generator: keras.Model, config: ModelConfig, class_names: tuple[str, ...], num_samples: int, seed: int
    ) -> EvaluationResult:
        """Evaluate a generator in inference mode.

        Args:
            generator: A network of `build_generator`.
            config: The configuration that it was built from.
            class_names: Names of its classes; empty if it has no labels.
            num_samples: Number of images for metrics without a number in their name.
            seed: Seed of latents and labels.

        Raises:
            UserError: See `check_generator`.
        """
        indices = self.check_generator(config, class_names, num_samples, seed)
        metrics = self._list_metrics(num_samples)
        count = max(num_images for _, num_images in metrics)
        with_images = any(IMAGES in metric.family.required for metric, _ in metrics)
        batches = self._extraction.extract_from_generator(
            generator, config.latent_dim, config.num_classes, count, seed, self._count_classes(class_names), with_images
        )
        protocol: dict[str, Any] = {"seed": seed, "precision": get_compute_precision(generator)}
        if config.num_classes:
            protocol["evaluation_labels"] = self._labels
        return self._evaluate(metrics, batches, class_names, indices, protocol)

    def check_generator(
        self, config: ModelConfig, class_names: tuple[str, ...], num_samples: int, seed: int
    ) -> ClassIndices:
        """Check the evaluation of any generator of a configuration.

        No images are generated.

        Raises:
            UserError: A metric has too few images, or classes, size or channels of generator, extractor and reference
                differ.
        """
        class_counts = self._count_classes(class_names)
        metrics = self._list_metrics(num_samples)
        images = ImageProperties(class_names, config.resolution, config.image_channels)
        indices = check_evaluation(metrics, images, self._extractor, self._reference)
        subject = f"images with evaluation_labels={self._labels}"
        for metric, num_images in metrics:
            if metric.family.is_per_class:
                labels = draw_labels(config.num_classes, num_images, seed, class_counts)
                self._check_class_counts(metric, subject, labels, indices)
        return indices

    def evaluate_images(self, source: Source) -> EvaluationResult:
        """Evaluate the images of a source.

        Raises:
            UserError: There are too few images, an image is unreadable, or classes, size or channels of images,
                extractor and reference differ.
        """
        check_num_images(self._metrics, source)
        metrics = self._list_metrics(source.num_examples)
        images = ImageProperties(source.class_names, source.resolution, source.image_channels)
        indices = check_evaluation(metrics, images, self._extractor, self._reference)
        for metric, num_images in metrics:
            # The labels of a part of the images are not known before these are read.
            if metric.family.is_per_class and num_images == source.num_examples == source.class_counts_sample_size:
                labels: np.ndarray = np.repeat(np.arange(len(source.class_names)), source.class_counts)
                self._check_class_counts(metric, "images", labels, indices)
        batches = self._extraction.extract_from_source(source, max(num_images for _, num_images in metrics))
        return self._evaluate(metrics, _reject_unreadable_images(batches, source), source.class_names, indices, {})

    def _list_metrics(self, num_available: int) -> list[tuple[Metric, int]]:
        """Return the metrics with their numbers of images.

        A metric without a number in its name is of all available images.
        """
        return [(metric, metric.num_images or num_available) for metric in self._metrics]

    def _count_classes(self, class_names: tuple[str, ...]) -> tuple[int, ...]:
        """Return the number of reference images of each class.

        The result is empty if labels are not drawn in these proportions.
        """
        if self._labels == UNIFORM or self._reference is None:
            return ()
        return count_classes(class_names, self._reference)

    def _check_class_counts(self, metric: Metric, subject: str, labels: np.ndarray, indices: ClassIndices) -> None:
        """Raise UserError unless labels contain enough images of the reference's classes."""
        labels = labels if indices.in_reference is None else indices.in_reference[labels]
        class_names = require_reference(self._reference).provenance.class_names
        check_class_counts(metric, subject, labels, class_names)

    def _evaluate(
        self,
        metrics: Sequence[tuple[Metric, int]],
        batches: Iterable[FeatureBatch],
        class_names: tuple[str, ...],
        indices: ClassIndices,
        protocol: dict[str, Any],
    ) -> EvaluationResult:
        """Return the values of the metrics on batches of features, with the protocol."""
        statistics = _accumulate(metrics, batches, indices)
        reference, held_out = (
            real.statistics if real is not None else ImageSetStatistics() for real in (self._reference, self._held_out)
        )
        values, class_values = {}, {}
        for metric, num_images in metrics:
            if metric.family.is_per_class:
                known = require_reference(self._reference).provenance.class_names
                check_class_counts(metric, "images", metric.family.get_labels(statistics[num_images]), known)
            value = metric.family.compute_value(statistics[num_images], reference, held_out)
            if isinstance(value, ClassValues):
                class_values[metric] = value
                value = value.summary
            values[metric.name] = value
        protocol |= self._describe_classes(class_values, class_names, indices)
        protocol = describe_protocol(metrics, self._extractor, self._reference, self._held_out) | self._notes | protocol
        return EvaluationResult(values, protocol, bool(metrics[0][0].family.lower_is_better))

    def _describe_classes(
        self, values: Mapping[Metric, ClassValues], class_names: tuple[str, ...], indices: ClassIndices
    ) -> dict[str, Any]:
        """Return the record entries of classes, or nothing without values of classes.

        The classes are those of the reference if a metric compares with it within each class, and otherwise those of
        the images, by their names in the extractor.
        """
        if not values:
            return {}
        in_reference, in_extractor = indices
        if in_reference is not None:
            names = require_reference(self._reference).provenance.class_names
            # Of a class that the images do not have, the extractor's class is not known.
            extractor_rows = np.full(len(names), -1)
            extractor_rows[in_reference] = -1 if in_extractor is None else in_extractor
        else:
            extractor_rows = np.zeros(0, int) if in_extractor is None else in_extractor
            names = tuple(self._extractor.class_names[index] for index in extractor_rows)
        rows = {
            metric.name: np.arange(len(names)) if metric.family.is_per_class else extractor_rows for metric in values
        }
        columns = {metric.name: (class_values, rows[metric.name]) for metric, class_values in values.items()}
        return describe_classes(names, self._count_reference_classes(names), columns)

    def _count_reference_classes(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Return the number of reference images of each class; empty if these are not known for every class."""
        if self._reference is None:
            return ()
        statistics, known = self._reference.statistics, self._reference.provenance.class_names
        # Only a part of the labels may have been counted, and the reference may have other classes.
        if statistics.class_counts.sum() != statistics.count or not set(names) <= set(known):
            return ()
        counts = np.pad(statistics.class_counts, (0, max(len(known) - len(statistics.class_counts), 0)))
        return tuple(int(counts[known.index(name)]) for name in names)


def _accumulate(
    metrics: Sequence[tuple[Metric, int]], batches: Iterable[FeatureBatch], indices: ClassIndices
) -> dict[int, ImageSetStatistics]:
    """Return the statistics that metrics require, by number of images."""
    required: dict[int, set[str]] = {}
    for metric, num_images in metrics:
        required.setdefault(num_images, set()).update(metric.family.required)
    accumulators = {num_images: StatisticsAccumulator(num_images, names) for num_images, names in required.items()}
    for batch in show_progress(batches, max(accumulators), "images"):
        labels, classes = (batch.labels if array is None else array[batch.labels] for array in indices)
        for accumulator in accumulators.values():
            accumulator.add(batch.features, batch.logits, labels, classes, batch.images)
    return {num_images: accumulator.result() for num_images, accumulator in accumulators.items()}


def _reject_unreadable_images(batches: Iterable[FeatureBatch], source: Source) -> Iterator[FeatureBatch]:
    """Yield the batches of a source; raise UserError for an unreadable image."""
    for batch in batches:
        if source.skipped.count:
            break
        yield batch
    if source.skipped.count:
        raise UserError(f"images: {source.skipped.names[0]} cannot be read; repair or remove it")
