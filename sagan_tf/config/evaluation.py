"""Options of the metrics."""

from __future__ import annotations

import dataclasses
import re

from sagan_tf.config.option import check_at_least_zero, check_every_field, check_positive, option
from sagan_tf.config.option_names import METRICS, METRICS_WITHOUT_REFERENCE
from sagan_tf.config.shared_options import extractor_option, inception_dir_option


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """The metrics, the feature extractor and the reference images."""

    metrics: tuple[str, ...] = option(
        (),
        f"Comma list of metrics: {', '.join(METRICS)}, each alone or with a "
        "number of thousands of images, such as fid50k,is50k (docs/evaluation.md); empty: those of the run. If the run "
        "has none: fid50k,is50k with Inception, or fcd10k,classifier_score10k with a packaged extractor, and with "
        "fashion_mnist also label_agreement10k.",
        changeable=True,
    )
    extractor: str = extractor_option("Network that computes features and class probabilities")
    inception_dir: str = inception_dir_option()
    extractor_features: str = option("pool_3", "Name of the SavedModel's output of features.", changeable=True)
    extractor_logits: str = option("logits", "Name of the SavedModel's output of class logits.", changeable=True)
    reference: str = option(
        "",
        "Real images to compare with: DATASET:SPLIT, a directory of images, or an .npz file made from either; empty: "
        "the split that the run trains on.",
        changeable=True,
    )
    reference_dir: str = option(
        "",
        "Directory that keeps the statistics of references for later evaluations; empty: sagan_tf/references in the "
        "user's cache.",
        changeable=True,
    )
    evaluation_labels: str = option(
        "auto",
        "Distribution of the labels of generated images: uniform (all classes equally often), reference (as often as "
        "in the reference images) or auto (the setting of the run, or uniform if it has none).",
        choices=("auto", "uniform", "reference"),
        changeable=True,
    )
    num_samples: int = option(
        50_000, "Number of generated images for metrics without a number in their name.", changeable=True
    )
    evaluation_batch_size: int = option(100, "Batch size of evaluations, over all replicas.", changeable=True)
    evaluate_every: int = option(
        0,
        "Steps between evaluations during training; 0: no evaluations. The best checkpoint by the first metric is kept "
        "in checkpoints/best.",
        changeable=True,
    )
    collapse_patience: int = option(
        3,
        "Number of consecutive evaluations in which the first metric gets worse that leads to a warning of collapse.",
        changeable=True,
    )

    def __post_init__(self) -> None:
        check_positive(self, "num_samples", "evaluation_batch_size", "collapse_patience")
        check_at_least_zero(self, "evaluate_every")
        check_every_field(self)

    @property
    def needs_real_images(self) -> bool:
        """Return whether the metrics or the labels need real images; the default metrics do."""
        families = {re.sub(r"\d+k$", "", name) for name in self.metrics or ("fid",)}
        return self.evaluation_labels == "reference" or not families <= set(METRICS_WITHOUT_REFERENCE)
