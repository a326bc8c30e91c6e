"""Metrics by name. A name is a protocol: which features, how many images, which formula; never compare two names.

`fid50k` is the family `fid` on the first 50 thousand images; without a number it is on all the images that are given.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Sequence

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.features import distances, tf_gan
from sagan_tf.features.statistics import AGREEMENT, FEATURES, PROBABILITIES, STATISTICS, Gathered

Value = float | dict[str, float]
_DENSE_NEIGHBOURS = 5


@dataclasses.dataclass(frozen=True)
class Family:
    """Metrics that differ in the number of images only.

    Attributes:
        compute: of what was gathered of the images and of the reference.
        needs: what it needs of the images.
        needs_of_reference: what it needs of the reference; empty: it needs none.
        lower_is_better: which way it should go.
        inception: True: Inception's features only; False: others only, since the name says so; None: any.
        protocol: in words, for records.
        least: images that it needs at least.
        by_class: whether it compares class with class.
        equal_sizes: whether it takes as many real images as others.
        by_kernel: whether it is TF-GAN's kernel distance, which works in blocks.
        find_worst_class: finds the class whose value is the worst, which a record names; None: no class is worse.
    """

    compute: Callable[[Gathered, Gathered], Value]
    needs: tuple[str, ...]
    needs_of_reference: tuple[str, ...]
    lower_is_better: bool
    inception: bool | None
    protocol: str
    least: int = 2
    by_class: bool = False
    equal_sizes: bool = False
    by_kernel: bool = False
    find_worst_class: Callable[[Gathered], int] | None = None


def _frechet(images: Gathered, reference: Gathered) -> Value:
    return distances.frechet_distance(images.moments, reference.moments)


def _score(images: Gathered, reference: Gathered) -> Value:
    return distances.classifier_score(images.probabilities)


def _kernel(images: Gathered, reference: Gathered) -> Value:
    distance, error = tf_gan.kernel_distance(images.features, reference.features)
    return {"value": distance} if math.isnan(error) else {"value": distance, "standard_error": error}


def _precision_recall(images: Gathered, reference: Gathered) -> Value:
    precision, recall = distances.precision_and_recall(*_as_many(images, reference))
    return {"precision": precision, "recall": recall}


def _density_coverage(images: Gathered, reference: Gathered) -> Value:
    density, coverage = distances.density_and_coverage(*_as_many(images, reference), _DENSE_NEIGHBOURS)
    return {"density": density, "coverage": coverage}


def _as_many(images: Gathered, reference: Gathered) -> tuple[np.ndarray, np.ndarray]:
    """As many features of both: balls get smaller as a set gets larger."""
    count = min(len(images.features), len(reference.features))
    return images.features[:count], reference.features[:count]


def _within_classes(images: Gathered, reference: Gathered) -> Value:
    return distances.mean_distance_within_classes(images.features, images.labels, reference.features, reference.labels)


def _agreement(images: Gathered, reference: Gathered) -> Value:
    return images.agreement


def _class_agreement(images: Gathered, reference: Gathered) -> Value:
    return {"mean": float(np.nanmean(images.class_agreement)), "worst": float(np.nanmin(images.class_agreement))}


def _worst_class(images: Gathered) -> int:
    return int(np.nanargmin(images.class_agreement))


_FID = "Frechet distance of mean and unbiased covariance, float64"
_IS = "exp(E KL(p(y|x) || p(y))), one split"
_KID = "block estimator of the polynomial kernel's distance, blocks of at most 1,024 of the larger set"
_INTRA = "mean over classes of the Frechet distance within a class"

_PRECISION_RECALL = "improved precision and recall, k = 3"

METRICS: dict[str, Family] = {
    "fid": Family(_frechet, (STATISTICS,), (STATISTICS,), True, True, _FID),
    "is": Family(_score, (PROBABILITIES,), (), False, True, _IS),
    "kid": Family(_kernel, (FEATURES,), (FEATURES,), True, True, _KID, by_kernel=True),
    "intra_fid": Family(_within_classes, (FEATURES,), (FEATURES,), True, True, _INTRA, by_class=True),
    "fcd": Family(_frechet, (STATISTICS,), (STATISTICS,), True, False, _FID),
    "classifier_score": Family(_score, (PROBABILITIES,), (), False, False, _IS),
    "kcd": Family(_kernel, (FEATURES,), (FEATURES,), True, False, _KID, by_kernel=True),
    "intra_fcd": Family(_within_classes, (FEATURES,), (FEATURES,), True, False, _INTRA, by_class=True),
    "precision_recall": Family(
        _precision_recall,
        (FEATURES,),
        (FEATURES,),
        False,
        None,
        "improved precision and recall, k = 3",
        4,
        equal_sizes=True,
    ),
    "density_coverage": Family(
        _density_coverage, (FEATURES,), (FEATURES,), False, None, "density and coverage, k = 5", 6, equal_sizes=True
    ),
    "label_agreement": Family(
        _agreement, (AGREEMENT,), (), False, None, "fraction whose likeliest class is the label asked for", 1
    ),
    "class_agreement": Family(
        _class_agreement,
        (AGREEMENT,),
        (),
        False,
        None,
        "label_agreement within each class that has images: mean and least over these classes",
        1,
        find_worst_class=_worst_class,
    ),
}
"""Families by name."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A family at a number of images.

    Attributes:
        name: as given, such as `fid50k`.
        family: what is computed.
        size: number of images; None: all that are given.
    """

    name: str
    family: Family
    size: int | None


def find_metrics(names: Sequence[str]) -> list[Metric]:
    """Return the metrics of some names.

    Raises:
        UserError: there is no such metric, or there are no names.
    """
    if not names:
        raise UserError(f"metrics: expected names such as fid50k, of the families {', '.join(METRICS)}, received none")
    return [_find(name) for name in dict.fromkeys(names)]


def _find(name: str) -> Metric:
    family, thousands = re.fullmatch(r"(.*?)(?:([1-9]\d{0,6})k)?", name).groups()  # type: ignore[union-attr]
    if family not in METRICS:
        raise UserError(
            f"metrics: expected one of {', '.join(METRICS)}, alone or with a number of thousands such as fid50k, "
            f"received {name!r}"
        )
    return Metric(name, METRICS[family], int(thousands) * 1000 if thousands else None)


def record_values(name: str, value: Value) -> dict[str, Value]:
    """Return a metric's values as a record has them: its name is a key; a standard error has one of its own."""
    if isinstance(value, dict) and "value" in value:
        return {name if part == "value" else f"{name}_{part}": number for part, number in value.items()}
    return {name: value}


def scalar_values(name: str, value: Value) -> dict[str, float]:
    """Return the same as single numbers with a name each."""
    scalars: dict[str, float] = {}
    for key, one in record_values(name, value).items():
        scalars |= {f"{key}/{part}": number for part, number in one.items()} if isinstance(one, dict) else {key: one}
    return scalars


def needs_reference(metrics: Sequence[Metric]) -> bool:
    """Return whether any of the metrics compares with real images."""
    return any(metric.family.needs_of_reference for metric in metrics)
