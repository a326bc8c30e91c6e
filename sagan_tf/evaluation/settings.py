"""Settings of an evaluation: what is not given comes from the run that is evaluated, and then from defaults."""

from __future__ import annotations

import dataclasses

from sagan_tf.config import EvaluationConfig
from sagan_tf.evaluation.label_distribution import AUTO, REFERENCE, UNIFORM
from sagan_tf.evaluation.metrics import Metric, needs_reference

_DEFAULT_EXTRACTOR = "inception"
_METRICS = {
    "fashion_mnist": ("fcd10k", "classifier_score10k", "label_agreement10k"),
    "efficientnet_lite0": ("fcd10k", "classifier_score10k"),
}
_METRICS_OF_OTHERS = ("fid50k", "is50k")


def resolve(evaluation: EvaluationConfig, of_run: EvaluationConfig | None = None) -> EvaluationConfig:
    """Fill in what was left empty: from the run's own configuration, and then from the defaults."""
    names = ["metrics", "extractor", "inception_dir", "reference"]
    if of_run is not None and evaluation.extractor not in ("", of_run.extractor):
        of_run = dataclasses.replace(of_run, metrics=())  # which are those of the run's own extractor
    elif of_run is not None and not evaluation.extractor:
        names += ["extractor_features", "extractor_logits"]
        evaluation = dataclasses.replace(evaluation, extractor_features="", extractor_logits="")
    found = {name: getattr(evaluation, name) or getattr(of_run or EvaluationConfig(), name) for name in names}
    found["extractor"] = found["extractor"] or _DEFAULT_EXTRACTOR
    labels = (evaluation.evaluation_labels, of_run.evaluation_labels if of_run else AUTO)
    found["evaluation_labels"] = next((one for one in labels if one != AUTO), UNIFORM)
    found["metrics"] = found["metrics"] or _METRICS.get(found["extractor"], _METRICS_OF_OTHERS)
    return dataclasses.replace(evaluation, **found)


def compares_with_reference(evaluation: EvaluationConfig, metrics: list[Metric]) -> bool:
    """Return whether a run's evaluation needs a reference, for its metrics or for its labels."""
    return needs_reference(metrics) or evaluation.evaluation_labels == REFERENCE
