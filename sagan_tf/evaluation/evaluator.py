"""Puts an evaluation together: images, extractor, reference, metrics; and the record of how it was done."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from sagan_tf.config import ModelConfig
from sagan_tf.data.source import Source
from sagan_tf.errors import UserError
from sagan_tf.evaluation.class_numbers import check_all_classes, class_numbers
from sagan_tf.evaluation.extraction import Batch, Extraction, with_progress
from sagan_tf.evaluation.extractors import EXTRACTORS
from sagan_tf.evaluation.metrics import Metric, Value, record_values, scalar_values
from sagan_tf.evaluation.reference import Provenance, Reference
from sagan_tf.evaluation.statistics import AGREEMENT, FEATURES, Gathered, Gatherer


@dataclasses.dataclass(frozen=True)
class Result:
    """Values of metrics, and how they came about.

    Attributes:
        values: by name, in the order that was asked for.
        protocol: what a record says of them.
        lower_is_better: of the first metric.
    """

    values: dict[str, Value]
    protocol: dict[str, Any]
    lower_is_better: bool

    def record(self) -> dict[str, Any]:
        """Everything, to be written as JSON; the metrics' names are keys."""
        values: dict[str, Any] = {}
        for name, value in self.values.items():
            values |= record_values(name, value)
        return values | self.protocol

    def scalars(self) -> dict[str, float]:
        """The values as single numbers."""
        scalars: dict[str, float] = {}
        for name, value in self.values.items():
            scalars |= scalar_values(name, value)
        return scalars


class Evaluator:
    """Computes some metrics under one extractor.

    Args:
        extraction: runs the extractor.
        metrics: what to compute.
        reference: what to compare with; None if no metric needs one.

    Raises:
        UserError: a metric's name says that it is of other features, or there is no reference for one that needs it.
    """

    def __init__(self, extraction: Extraction, metrics: Sequence[Metric], reference: Reference | None) -> None:
        self._extraction = extraction
        self._metrics = list(metrics)
        self._reference = reference
        _check_names(extraction.extractor.name, metrics)
        if needs_reference(metrics):
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
        metrics = [dataclasses.replace(metric, size=metric.size or num_samples) for metric in self._metrics]
        count = max(metric.size or num_samples for metric in metrics)
        numbers = self._numbers_of_classes(metrics, class_names)
        if self._reference is not None:
            self._check_size(config.resolution, config.image_channels)
        batches = self._extraction.of_generator(generator, config.latent_dim, config.num_classes, count, seed)
        return self._result(metrics, _renumbered(batches, numbers), count, {"seed": seed})

    def of_images(self, source: Source) -> Result:
        """Of images that are there.

        Raises:
            UserError: they are too few, or some cannot be read.
        """
        for metric in self._metrics:
            least = metric.size or metric.family.least
            if source.num_examples < least:
                raise UserError(
                    f"images: expected at least {least} for {metric.name}, received {source.num_examples} in "
                    f"{source.name}"
                )
        numbers = self._numbers_of_classes(self._metrics, source.class_names)
        if self._reference is not None:
            self._check_size(source.resolution, source.image_channels)
        count = max(metric.size or source.num_examples for metric in self._metrics)
        batches = _renumbered(self._extraction.of_source(source, count), numbers)
        with source.skipped.raising_user_errors():
            result = self._result(self._metrics, batches, count, {})
        if source.skipped.count:
            raise UserError(f"images: expected readable images, received {source.skipped.names[0]}, which is not")
        return result

    def _result(self, metrics: Sequence[Metric], batches: Iterable[Batch], count: int, about: dict[str, Any]) -> Result:
        gatherers = {size: Gatherer(size, needs) for size, needs in _needs_by_size(metrics).items()}
        for batch in with_progress(batches, count, "images"):
            for gatherer in gatherers.values():
                gatherer.add(*batch)
        gathered = {size: gatherer.gathered() for size, gatherer in gatherers.items()}
        reference = self._reference.gathered if self._reference is not None else Gathered()
        values = {}
        for metric in metrics:
            _check_counts(metric, gathered[metric.size], reference)
            if metric.family.by_class:
                self._check_counts_by_class(metric, gathered[metric.size])
            values[metric.name] = metric.family.compute(gathered[metric.size], reference)
        lower_is_better = metrics[0].family.lower_is_better
        return Result(values, self._protocol(metrics, gathered) | about, lower_is_better)

    def _protocol(self, metrics: Sequence[Metric], gathered: dict[int | None, Gathered]) -> dict[str, Any]:
        extractor, reference = self._extraction.extractor, self._reference
        return {
            "num_samples": {metric.name: gathered[metric.size].count for metric in metrics},
            "extractor": extractor.identity,
            "preprocessing": extractor.preprocessing,
            "formulas": {metric.name: metric.family.protocol for metric in metrics},
            "reference": reference
            and {
                "images": reference.provenance.images,
                "fingerprint": reference.provenance.fingerprint,
                "num_samples": reference.gathered.count,
            },
        }

    def _check_counts_by_class(self, metric: Metric, images: Gathered) -> None:
        names = self._provenance().class_names
        real = self._reference.gathered if self._reference is not None else Gathered()
        for whose, labels in (("images", images.labels), ("reference", real.labels)):
            counts = np.bincount(labels, minlength=len(names))
            few = np.flatnonzero(counts < 2)
            if len(few):
                raise UserError(
                    f"{whose}: expected at least 2 images of every class for {metric.name}, received {counts[few[0]]} "
                    f"of {names[few[0]]} ({len(few)} of {len(names)} classes have too few)"
                )

    def _check_size(self, resolution: int, image_channels: int) -> None:
        provenance = self._provenance()
        if (provenance.resolution, provenance.image_channels) != (resolution, image_channels):
            raise UserError(
                f"reference: expected images of {resolution} px and {image_channels} channels, as those to evaluate, "
                f"received {provenance.resolution} px and {provenance.image_channels} channels ({provenance.images})"
            )

    def _numbers_of_classes(self, metrics: Sequence[Metric], class_names: tuple[str, ...]) -> np.ndarray | None:
        """What the images' labels are to those who compare them; None where nobody does."""
        numbers = None
        for metric in metrics:
            if AGREEMENT in metric.family.needs:
                extractor = self._extraction.extractor
                numbers = class_numbers(metric.name, class_names, extractor.class_names, f"extractor {extractor.name}")
            elif metric.family.by_class:
                known = self._provenance().class_names
                numbers = class_numbers(metric.name, class_names, known, "the reference")
                check_all_classes(metric.name, numbers, known)
        return numbers

    def _check_reference(self) -> None:
        expected, received = self._extraction.extractor.identity, self._provenance().extractor
        if received != expected:
            raise UserError(f"reference: expected features of extractor {expected}, received those of {received}")

    def _provenance(self) -> Provenance:
        if self._reference is None:
            raise UserError("reference: expected DATASET:SPLIT, a folder of images or an .npz file, received none")
        return self._reference.provenance


def needs_reference(metrics: Sequence[Metric]) -> bool:
    """Whether any of the metrics compares with real images."""
    return any(metric.family.needs_of_reference for metric in metrics)


def _renumbered(batches: Iterable[Batch], numbers: np.ndarray | None) -> Iterator[Batch]:
    for batch in batches:
        yield batch if numbers is None else batch._replace(labels=numbers[batch.labels])


def _needs_by_size(metrics: Sequence[Metric]) -> dict[int | None, set[str]]:
    needs: dict[int | None, set[str]] = {}
    for metric in metrics:
        needs.setdefault(metric.size, set()).update(metric.family.needs)
    return needs


def _check_names(extractor: str, metrics: Sequence[Metric]) -> None:
    if extractor not in EXTRACTORS:
        return  # a folder: it may be Inception, or not
    for metric in metrics:
        if metric.family.inception not in (None, extractor == "inception"):
            other = "fcd, kcd and classifier_score" if extractor != "inception" else "fid, kid and is"
            raise UserError(f"metrics: expected {other} for the extractor {extractor}, received {metric.name}")


def _check_counts(metric: Metric, images: Gathered, reference: Gathered) -> None:
    """Raises UserError where a formula would not be defined."""
    least = metric.family.least
    if images.count < least:
        raise UserError(f"images: expected at least {least} for {metric.name}, received {images.count}")
    if FEATURES in metric.family.needs_of_reference and len(reference.features) < least:
        raise UserError(f"reference: expected at least {least} for {metric.name}, received {len(reference.features)}")
