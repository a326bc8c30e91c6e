"""Settings of an evaluation from its options, the run and the defaults."""

from sagan_tf.config import EvaluationConfig
from sagan_tf.evaluation.settings import resolve_settings


def test_empty_options_come_from_the_run_and_then_from_the_defaults():
    """A run's metrics are used only with its extractor."""
    assert resolve_settings(EvaluationConfig()).metrics == ("fid50k", "is50k")
    assert resolve_settings(EvaluationConfig()).extractor == "inception"
    packaged = resolve_settings(EvaluationConfig(extractor="fashion_mnist")).metrics
    assert packaged == ("fcd10k", "classifier_score10k", "label_agreement10k")
    efficientnet = resolve_settings(EvaluationConfig(extractor="efficientnet_lite0")).metrics
    assert efficientnet == ("fcd10k", "classifier_score10k")
    own = EvaluationConfig(
        ("fcd",), "directory", reference="a:b", inception_dir="c", extractor_features="d", extractor_logits="e"
    )
    resolved = resolve_settings(EvaluationConfig(), own)
    assert (resolved.metrics, resolved.extractor) == (("fcd",), "directory")
    assert (resolved.reference, resolved.inception_dir) == ("a:b", "c")
    assert (resolved.extractor_features, resolved.extractor_logits) == ("d", "e")
    assert resolve_settings(EvaluationConfig(("is",), reference="x.npz"), own).reference == "x.npz"
    assert resolve_settings(EvaluationConfig(("is",)), own).metrics == ("is",)
    changed = resolve_settings(EvaluationConfig(extractor="fashion_mnist"), own)
    assert (changed.metrics, changed.extractor_features) == (packaged, "pool_3")
