"""Names of metrics in tables and charts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sagan_tf.config.metric_names import split_metric_name

_HEADINGS = {
    "label_agreement": "agreement",
    "class_agreement/worst": "worst class",
    "precision_recall/precision": "precision",
    "precision_recall/recall": "recall",
    "density_coverage/density": "density",
    "density_coverage/coverage": "coverage",
}
"""Headings of metrics, by the metric's name without its number of images; a metric without an entry has its own name
as its heading."""
_OMITTED = ("class_agreement/mean",)
"""Metrics that tables leave out."""


def list_metrics(evaluations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the metrics that a table shows, in the order of the evaluations."""
    names = dict.fromkeys(name for values in evaluations for name in values)
    return [name for name in names if remove_sample_count(name) not in _OMITTED]


def get_heading(metric: str) -> str:
    """Return the short name of a metric."""
    family = remove_sample_count(metric)
    return _HEADINGS.get(family, family)


def remove_sample_count(name: str) -> str:
    """Return the name of a metric without its number of images: `fcd` for `fcd10k`."""
    family, slash, part = name.partition("/")
    return split_metric_name(family)[0] + slash + part
