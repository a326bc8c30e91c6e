"""Puts an evaluation together: images, extractor, reference, metrics; and the record of how it was done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from sagan_tf.class_labels import check_all_classes, class_numbers
from sagan_tf.config import ModelConfig
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.evaluation.checks import (
    check_counts_by_class,
    check_names,
    check_number_of_images,
    check_reference_counts,
    reference_size,
)
from sagan_tf.evaluation.label_distribution import REFERENCE, UNIFORM, count_classes
from sagan_tf.evaluation.metrics import Metric, needs_reference
from sagan_tf.evaluation.reference import Provenance, Reference
from sagan_tf.evaluation.result import Result
from sagan_tf.features.extraction import Batch, Extraction, draw_labels, with_progress
from sagan_tf.features.statistics import AGREEMENT, Gathered, Gatherer
from sagan_tf.keras_backend import keras


class Evaluator:
    """Computes some metrics under one extractor.

    Args:
        extraction: runs the extractor.
        metrics: what to compute.
        reference: what to compare with; None if no metric needs one.
        labels: how the labels of a generator's images are drawn: `UNIFORM` or `REFERENCE`, which needs a reference.

    Raises:
        UserError: a metric's name says that it is of other features, or there is no reference for one that needs it.
    """

    def __init__(
        self,
        extraction: Extraction,
        metrics: Sequence[Metric],
        reference: Reference | None,
        labels: str = UNIFORM,
    ) -> None:
        self._extraction = extraction
        self._metrics = list(metrics)
        self._reference = reference
        self._labels = labels
        check_names(extraction.extractor.name, metrics)
        if needs_reference(metrics) or labels == REFERENCE:
            self._check_reference()

    def of_generator(
        self, generator: keras.Model, config: ModelConfig, class_names: tuple[str, ...], num_samples: int, seed: int
    ) -> Result:
        """Of a generator at inference.

        Args:
            generator: a network of `build_generator`.
            config: what it was built from.
            class_names: of its labels; empty if it has none.
            num_samples: images for metrics without a number in their name.
            seed: of latents and labels.
        """
        numbers = self.check_generator(config, class_names, num_samples, seed)
        metrics = _with_sizes(self._metrics, num_samples)
        count = max(size for _, size in metrics)
        batches = self._extraction.of_generator(
            generator, config.latent_dim, config.num_classes, count, seed, self._class_counts(class_names)
        )
        about = {"seed": seed, "precision": compute_precision(generator)}
        if config.num_classes:
            about["evaluation_labels"] = self._labels
        return self._result(metrics, batches, numbers, about)

    def check_generator(
        self, config: ModelConfig, class_names: tuple[str, ...], num_samples: int, seed: int
    ) -> _Numbers:
        """Raise UserError for what `of_generator` would refuse of any generator of this configuration."""
        counts = self._class_counts(class_names)
        numbers = self._check(num_samples, class_names, config.resolution, config.image_channels)
        source = f"images with evaluation_labels={self._labels}"
        for metric, size in _with_sizes(self._metrics, num_samples):
            if metric.family.by_class:
                self._check_counts(metric, source, draw_labels(config.num_classes, size, seed, counts), numbers)
        return numbers

    def _class_counts(self, class_names: tuple[str, ...]) -> tuple[int, ...]:
        """Return how many images of each class the reference has, if labels are drawn in these proportions."""
        if self._labels == UNIFORM or self._reference is None:
            return ()
        return count_classes(class_names, self._reference)

    def of_images(self, source: Source) -> Result:
        """Of images that are there.

        Raises:
            UserError: they are too few, or some cannot be read.
        """
        check_number_of_images(self._metrics, source)
        numbers = self._check(source.num_examples, source.class_names, source.resolution, source.image_channels)
        metrics = _with_sizes(self._metrics, source.num_examples)
        for metric, size in metrics:
            # The labels of fewer images are not known before they are read.
            if metric.family.by_class and size == source.num_examples == source.class_counts_sample_size:
                labels: np.ndarray = np.repeat(np.arange(len(source.class_names)), source.class_counts)
                self._check_counts(metric, "images", labels, numbers)

        def readable(batches: Iterable[Batch]) -> Iterator[Batch]:
            for batch in batches:
                if source.skipped.count:
                    break
                yield batch
            if source.skipped.count:
                raise UserError(f"images: expected readable images, received {source.skipped.names[0]}, which is not")

        batches = self._extraction.of_source(source, max(size for _, size in metrics))
        return self._result(metrics, readable(batches), numbers, {})

    def _check_counts(self, metric: Metric, source: str, labels: np.ndarray, numbers: _Numbers) -> None:
        """Raise UserError unless there are two of every class of the reference among labels of images to evaluate."""
        of_reference = labels if numbers.of_reference is None else numbers.of_reference[labels]
        check_counts_by_class(metric.name, source, of_reference, self._provenance().class_names)

    def _result(
        self, metrics: Sequence[tuple[Metric, int]], batches: Iterable[Batch], numbers: _Numbers, about: dict[str, Any]
    ) -> Result:
        gatherers = {size: Gatherer(size, needs) for size, needs in _needs_by_size(metrics).items()}
        for batch in with_progress(batches, max(gatherers), "images"):
            labels, classes = (batch.labels if one is None else one[batch.labels] for one in numbers)
            for gatherer in gatherers.values():
                gatherer.add(batch.features, batch.logits, labels, classes)
        gathered = {size: gatherer.gathered() for size, gatherer in gatherers.items()}
        reference = self._reference.gathered if self._reference is not None else Gathered()
        values = {}
        for metric, size in metrics:
            if metric.family.by_class:
                check_counts_by_class(metric.name, "images", gathered[size].labels, self._provenance().class_names)
            values[metric.name] = metric.family.compute(gathered[size], reference)
        about |= self._worst_classes(metrics, gathered)
        return Result(values, self._protocol(metrics) | about, metrics[0][0].family.lower_is_better)

    def _worst_classes(
        self, metrics: Sequence[tuple[Metric, int]], gathered: Mapping[int, Gathered]
    ) -> dict[str, dict[str, str]]:
        """Return the name of the class that each metric with a worst class found, if there are such metrics."""
        names = self._extraction.extractor.class_names
        found = {
            metric.name: names[metric.family.find_worst_class(gathered[size])]
            for metric, size in metrics
            if metric.family.find_worst_class is not None
        }
        return {"worst_class": found} if found else {}

    def _check(self, available: int, class_names: tuple[str, ...], resolution: int, image_channels: int) -> _Numbers:
        """Raise UserError for everything that is known to be wrong before any image is looked at."""
        self._extraction.extractor.check_channels(image_channels)
        of_reference = of_extractor = None
        for metric, size in _with_sizes(self._metrics, available):
            family = metric.family
            if size < family.least:
                raise UserError(f"images: expected at least {family.least} for {metric.name}, received {size}")
            if AGREEMENT in family.needs:
                extractor = self._extraction.extractor
                whose = f"extractor {extractor.name}"
                of_extractor = class_numbers(metric.name, class_names, extractor.class_names, whose)
            if family.needs_of_reference:
                self._check_size(resolution, image_channels)
                check_reference_counts(metric, size, self._real())
            if family.by_class:
                known = self._provenance().class_names
                of_reference = class_numbers(metric.name, class_names, known, "the reference")
                check_all_classes(metric.name, of_reference, known)
                check_counts_by_class(metric.name, "reference", self._real().labels, known)
        return _Numbers(of_reference, of_extractor)

    def _protocol(self, metrics: Sequence[tuple[Metric, int]]) -> dict[str, Any]:
        extractor = self._extraction.extractor
        record: dict[str, Any] = {
            "num_samples": {metric.name: size for metric, size in metrics},
            "extractor": extractor.identity,
            "preprocessing": extractor.preprocessing,
            "formulas": {metric.name: metric.family.protocol for metric, _ in metrics},
            "reference": None,
        }
        if self._reference is not None:
            provenance, real = self._reference.provenance, self._reference.gathered
            record["reference"] = {
                "images": provenance.images,
                "fingerprint": provenance.fingerprint,
                "num_samples": real.count,
                "unreadable": list(self._reference.unreadable),
                "num_samples_used": {
                    metric.name: reference_size(metric, size, real)
                    for metric, size in metrics
                    if metric.family.needs_of_reference
                },
            }
        return record

    def _check_size(self, resolution: int, image_channels: int) -> None:
        provenance = self._provenance()
        if (provenance.resolution, provenance.image_channels) != (resolution, image_channels):
            raise UserError(
                f"reference: expected images of {resolution} px and {image_channels} channels, as those to evaluate, "
                f"received {provenance.resolution} px and {provenance.image_channels} channels ({provenance.images})"
            )

    def _check_reference(self) -> None:
        expected, received = self._extraction.extractor.identity, self._provenance().extractor
        if received != expected:
            raise UserError(f"reference: expected features of extractor {expected}, received those of {received}")

    def _provenance(self) -> Provenance:
        if self._reference is None:
            raise UserError("reference: expected DATASET:SPLIT, a folder of images or an .npz file, received none")
        return self._reference.provenance

    def _real(self) -> Gathered:
        return Gathered() if self._reference is None else self._reference.gathered


class _Numbers(NamedTuple):
    """What the images' labels are to the reference and to the extractor; None where nobody compares them."""

    of_reference: np.ndarray | None
    of_extractor: np.ndarray | None


def compute_precision(network: keras.Model) -> str:
    """Return the type that a network's layers with weights compute in, the narrowest if they differ."""
    types = {layer.compute_dtype for layer in network._flatten_layers() if layer.weights}
    return min(types, key=lambda name: tf.as_dtype(name).size)


def _with_sizes(metrics: Sequence[Metric], available: int) -> list[tuple[Metric, int]]:
    """Return each metric with the number of images that it is of."""
    return [(metric, metric.size or available) for metric in metrics]


def _needs_by_size(metrics: Sequence[tuple[Metric, int]]) -> dict[int, set[str]]:
    needs: dict[int, set[str]] = {}
    for metric, size in metrics:
        needs.setdefault(size, set()).update(metric.family.needs)
    return needs
