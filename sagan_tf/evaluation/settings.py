"""Settings of an evaluation: empty options are taken from the evaluated run, and then from defaults."""

from __future__ import annotations

import dataclasses

from sagan_tf.config import EvaluationConfig
from sagan_tf.evaluation.label_distribution import AUTO, REFERENCE, UNIFORM
from sagan_tf.evaluation.metrics import Metric, has_reference_metric
from sagan_tf.features.extractor import NO_EXTRACTOR, Extractor
from sagan_tf.features.extractors import ExtractorOptions, open_extractor

_DEFAULT_EXTRACTOR = "inception"
_DEFAULT_METRICS = ("fid50k", "is50k")
_DEFAULT_METRICS_BY_EXTRACTOR = {
    "fashion_mnist": ("fcd10k", "classifier_score10k", "label_agreement10k"),
    "efficientnet_lite0": ("fcd10k", "classifier_score10k"),
}


def resolve_settings(evaluation: EvaluationConfig, run: EvaluationConfig | None = None) -> EvaluationConfig:
    """Fill empty options from the run's configuration, and then from the defaults.

    Args:
        evaluation: The options of the evaluation.
        run: The evaluation options of the run's own configuration, if a run is evaluated.
    """
    names = ["metrics", "extractor", "inception_dir", "reference"]
    if run is not None and evaluation.extractor not in ("", run.extractor):
        run = dataclasses.replace(run, metrics=())  # the run's metrics belong to its own extractor
    elif run is not None and not evaluation.extractor:
        names += ["extractor_features", "extractor_logits"]
        evaluation = dataclasses.replace(evaluation, extractor_features="", extractor_logits="")
    resolved = {name: getattr(evaluation, name) or getattr(run or EvaluationConfig(), name) for name in names}
    resolved["extractor"] = resolved["extractor"] or _DEFAULT_EXTRACTOR
    choices = (evaluation.evaluation_labels, run.evaluation_labels if run else AUTO)
    resolved["evaluation_labels"] = next((choice for choice in choices if choice != AUTO), UNIFORM)
    defaults = _DEFAULT_METRICS_BY_EXTRACTOR.get(resolved["extractor"], _DEFAULT_METRICS)
    resolved["metrics"] = resolved["metrics"] or defaults
    return dataclasses.replace(evaluation, **resolved)


def open_metric_extractor(evaluation: EvaluationConfig, metrics: list[Metric]) -> Extractor:
    """Open the extractor of resolved options of an evaluation, or none if no metric uses one."""
    if not uses_extractor(metrics):
        return NO_EXTRACTOR
    names = evaluation.extractor_features, evaluation.extractor_logits
    return open_extractor(ExtractorOptions(evaluation.extractor, evaluation.inception_dir, *names))


def uses_extractor(metrics: list[Metric]) -> bool:
    """Return whether a metric requires features or class probabilities, and not only images."""
    return any(metric.family.uses_extractor for metric in metrics)


def is_reference_needed(evaluation: EvaluationConfig, metrics: list[Metric]) -> bool:
    """Return whether metrics or labels of a run's evaluation need a reference."""
    return has_reference_metric(metrics) or evaluation.evaluation_labels == REFERENCE
