"""Evaluation of a run or of images from the options of `python -m sagan_tf.evaluate`."""

from __future__ import annotations

from typing import Any

from sagan_tf.config import EvaluationConfig, TrainingConfig
from sagan_tf.config.dependent_options import EVALUATE, check_dependent_fields
from sagan_tf.data.image_sets import is_directory
from sagan_tf.distribution.lost_workers import explain_lost_workers
from sagan_tf.distribution.memory_errors import explain_memory_errors
from sagan_tf.distribution.strategy import count_workers, create_strategy
from sagan_tf.distribution.worker_agreement import run_on_chief
from sagan_tf.evaluation.checks import check_metrics_match_extractor
from sagan_tf.evaluation.image_evaluation import evaluate_image_set
from sagan_tf.evaluation.metrics import Metric, find_metrics
from sagan_tf.evaluation.options import EvaluateOptions
from sagan_tf.evaluation.record_outputs import RecordOutputs, print_table
from sagan_tf.evaluation.run_evaluation import Run, evaluate_run
from sagan_tf.evaluation.settings import is_reference_needed, open_metric_extractor, resolve_settings, uses_extractor
from sagan_tf.features.extraction import Extraction
from sagan_tf.runs.run_directory import open_run


@explain_memory_errors("evaluation", "lower --evaluation_batch_size")
def evaluate(options: EvaluateOptions, evaluation: EvaluationConfig) -> dict[str, Any]:
    """Evaluate a run or images, print a table and write the record.

    The record is written to the run directory and to `options.output`.

    Args:
        options: The run or the images, and the devices.
        evaluation: Metrics, extractor and reference.

    Returns:
        The record: the metrics by name, and how they were computed.

    Raises:
        UserError: A file is missing, or options do not fit together; then nothing has been written except, possibly,
            a reference. Or the record cannot be written; then it has been printed.
        WorkerLostError: Another worker does not answer.
    """
    run = Run(*open_run(options.run_dir)[::-1]) if options.run_dir else None
    given, evaluation = evaluation, resolve_settings(evaluation, run.config.evaluation if run else None)
    metrics = find_metrics(evaluation.metrics)
    _check_effects(options, given, evaluation, metrics, run)
    check_metrics_match_extractor(evaluation.extractor, metrics)
    placement = TrainingConfig(strategy=options.strategy, logical_cpus=options.logical_cpus, tf32=False)
    strategy = create_strategy(placement)
    with explain_lost_workers(count_workers(strategy), "the same command evaluates from the beginning"):
        outputs = run_on_chief(strategy, lambda: RecordOutputs(options.output, run.directory if run else None))
        with strategy.scope():
            extractor = open_metric_extractor(evaluation, metrics)
        extraction = Extraction(extractor, strategy, evaluation.evaluation_batch_size)
        if run:
            record = evaluate_run(run, options, evaluation, metrics, extraction, strategy)
        else:
            result = evaluate_image_set(options, evaluation, metrics, extraction)
            record = {"kind": "evaluation", "images": options.images} | result.to_record()
        if outputs is not None:  # all workers evaluate, and one writes
            print_table(record, metrics)
            outputs.write(record, metrics)
    return record


def _check_effects(
    options: EvaluateOptions,
    given: EvaluationConfig,
    resolved: EvaluationConfig,
    metrics: list[Metric],
    run: Run | None,
) -> None:
    """Raise UserError for a given flag without an effect on this evaluation."""
    facts = {
        "is_directory": bool(options.images) and is_directory(options.images),
        "needs_real_images": is_reference_needed(resolved, metrics),
        "resolved_metrics": resolved.metrics,
        "resolved_extractor": resolved.extractor,
        "resolved_reference": resolved.reference,
        "resolved_held_out": options.held_out or (run.config.data.held_out if run else ""),
        "uses_extractor": uses_extractor(metrics),
        "has_classes": run is None or run.config.model.uses_classes,
    }
    check_dependent_fields(EVALUATE, options, given, facts=facts)
