"""Options of metrics."""

from __future__ import annotations

import dataclasses
import re

from sagan_tf.config.option import check_at_least_zero, check_every_field, check_positive, option

_METRICS_WITHOUT_REFERENCE = frozenset(("is", "classifier_score", "label_agreement", "class_agreement"))


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """Metrics: which, under which extractor, compared with what."""

    metrics: tuple[str, ...] = option(
        (),
        "Comma list of metrics, such as fid50k,is50k (README, Evaluate); empty: the run's own, and where there is none "
        "fid50k,is50k; with a packaged extractor fcd10k,classifier_score10k, and with fashion_mnist also "
        "label_agreement10k.",
        changeable=True,
    )
    extractor: str = option(
        "",
        "inception (TF-GAN's), fashion_mnist or efficientnet_lite0 (packaged; the second for color images, Tan and Le "
        "2019), or the directory of a SavedModel, which is called with float32 images in [-1, 1] at its own size; "
        "empty: the run's own, and where there is none inception.",
        changeable=True,
    )
    inception_dir: str = option(
        "",
        "Folder of TF-GAN's Inception; empty: SAGAN_TF_INCEPTION_DIR, or else it is fetched from its hub.",
        changeable=True,
    )
    extractor_features: str = option("pool_3", "Name of a SavedModel's output of features.", changeable=True)
    extractor_logits: str = option("logits", "Name of a SavedModel's output of class logits.", changeable=True)
    reference: str = option(
        "",
        "What to compare with: DATASET:SPLIT, a folder of images, or an .npz file made from either; empty: the split "
        "that the run trains on.",
        changeable=True,
    )
    reference_dir: str = option(
        "", "Where references are kept, once computed; empty: sagan_tf/references in the user's cache.", changeable=True
    )
    evaluation_labels: str = option(
        "auto",
        "How the labels of generated images are drawn: uniform (every class alike), reference (in the proportions of "
        "the reference's images) or auto (the run's own setting, or uniform if it has none).",
        choices=("auto", "uniform", "reference"),
        changeable=True,
    )
    num_samples: int = option(50_000, "Images generated for metrics without a number in their name.", changeable=True)
    evaluation_batch_size: int = option(100, "Images evaluated at once, over all replicas.", changeable=True)
    evaluate_every: int = option(
        0,
        "Steps between evaluations while training; 0: none. The best checkpoint by the first metric is kept in "
        "checkpoints/best.",
        changeable=True,
    )
    collapse_patience: int = option(
        3, "Evaluations in a row that the first metric may get worse before a warning of collapse.", changeable=True
    )

    def __post_init__(self) -> None:
        check_positive(self, "num_samples", "evaluation_batch_size", "collapse_patience")
        check_at_least_zero(self, "evaluate_every")
        check_every_field(self)

    @property
    def is_compared(self) -> bool:
        """Whether the metrics or the labels of generated images need real images; the default metrics do."""
        families = {re.sub(r"\d+k$", "", name) for name in self.metrics or ("fid",)}
        return self.evaluation_labels == "reference" or not families <= _METRICS_WITHOUT_REFERENCE
