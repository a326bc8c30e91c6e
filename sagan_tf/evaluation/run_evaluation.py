"""Evaluation of the generator of a run, from a checkpoint or during training."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sagan_tf.config import Config, DataConfig, EvaluationConfig
from sagan_tf.data.image_sets import open_images
from sagan_tf.data.run_classes import (
    check_is_not_trained_on,
    get_selected_classes,
    keep_classes,
    warn_of_other_classes,
)
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.distribution.devices import exact_float32
from sagan_tf.distribution.strategy import count_workers
from sagan_tf.errors import UserError
from sagan_tf.evaluation.checks import check_metrics_match_extractor, check_training_metrics
from sagan_tf.evaluation.evaluator import Evaluator
from sagan_tf.evaluation.label_distribution import REFERENCE, UNIFORM, match_classes, warn_if_unbalanced
from sagan_tf.evaluation.metrics import Metric, find_metrics
from sagan_tf.evaluation.options import EvaluateOptions
from sagan_tf.evaluation.real_images import (
    check_held_out,
    compare_with_training_images,
    find_held_out_images,
    find_reference_images,
    open_held_out,
)
from sagan_tf.evaluation.reference import Provenance, Reference
from sagan_tf.evaluation.reference_store import describe_images
from sagan_tf.evaluation.result import EvaluationResult
from sagan_tf.evaluation.settings import is_reference_needed, open_metric_extractor, resolve_settings
from sagan_tf.features.extraction import Extraction
from sagan_tf.keras_backend import keras
from sagan_tf.runs.load_networks import load_generator
from sagan_tf.runs.run_directory import RunDirectory


@dataclasses.dataclass(frozen=True)
class Run:
    """Configuration and directory of a run."""

    config: Config
    directory: RunDirectory


def evaluate_run(
    run: Run,
    options: EvaluateOptions,
    evaluation: EvaluationConfig,
    metrics: list[Metric],
    extraction: Extraction,
    strategy: tf.distribute.Strategy,
) -> dict[str, Any]:
    """Evaluate the generator of a checkpoint and return the record."""
    config = run.config
    places = options.data_dir or config.data.data_dir, options.held_out or config.data.held_out
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, data_dir=places[0], held_out=places[1]))
    with strategy.scope():
        generator, step = load_generator(
            config, run.directory.checkpoints, options.checkpoint, use_ema=options.generator_weights == "ema"
        )
    # With another reference, a run can be evaluated on a machine without its training data.
    is_needed = is_reference_needed(evaluation, metrics)
    source = open_source(config.data, **_get_image_size(config)) if is_needed and not evaluation.reference else None
    class_names = source.class_names if source else _read_class_names(run)
    class_names = class_names if config.model.num_classes else ()
    trained_on = source.class_names if source else run.directory.read_class_names()
    selected = get_selected_classes(config.data, trained_on) if is_needed else ()
    evaluator = _create_evaluator(config, source, evaluation, metrics, extraction, class_names, selected)
    result = evaluator.evaluate_generator(generator, config.model, class_names, evaluation.num_samples, options.seed)
    description = {"step": step, "kind": "evaluation", "generator_weights": options.generator_weights}
    return description | result.to_record()


def create_training_evaluation(
    config: Config, source: Source, strategy: tf.distribute.Strategy
) -> Callable[[keras.Model], EvaluationResult]:
    """Return a function that evaluates a generator during training.

    Extractor and reference are opened now, so that errors show before training.

    Args:
        config: Configuration of the run.
        source: Its training images, which are the reference unless `config.evaluation.reference` names another.
        strategy: The distribution strategy of the run.

    Raises:
        UserError: A file is missing, or options do not fit together.
    """
    evaluation = resolve_settings(config.evaluation)
    metrics = find_metrics(evaluation.metrics)
    check_metrics_match_extractor(evaluation.extractor, metrics)
    check_training_metrics(metrics, count_workers(strategy))
    class_names = source.class_names if config.model.num_classes else ()
    num_samples, seed = evaluation.num_samples, config.training.seed
    with exact_float32():
        with strategy.scope():
            extractor = open_metric_extractor(evaluation, metrics)
        extraction = Extraction(extractor, strategy, evaluation.evaluation_batch_size)
        selected = get_selected_classes(config.data, source.class_names)
        evaluator = _create_evaluator(config, source, evaluation, metrics, extraction, class_names, selected)
        evaluator.check_generator(config.model, class_names, num_samples, seed)

    def evaluate_generator(generator: keras.Model) -> EvaluationResult:
        with exact_float32():
            return evaluator.evaluate_generator(generator, config.model, class_names, num_samples, seed)

    return evaluate_generator


def _read_class_names(run: Run) -> tuple[str, ...]:
    """Return the class names that a run recorded.

    Without names these are the class indices, which stand for the classes of the reference.
    """
    num_classes = run.config.model.num_classes
    return run.directory.read_class_names(num_classes) or tuple(map(str, range(num_classes)))


def _create_evaluator(
    config: Config,
    source: Source | None,
    evaluation: EvaluationConfig,
    metrics: list[Metric],
    extraction: Extraction,
    class_names: tuple[str, ...],
    selected: tuple[str, ...],
) -> Evaluator:
    """Return the evaluator of a run's generator.

    Args:
        config: Configuration of the run.
        source: Its training images; None if they are not needed.
        evaluation: The resolved options of the evaluation.
        metrics: The metrics.
        extraction: Runs the extractor.
        class_names: Names of the generator's classes.
        selected: The classes to which other image sets are reduced; empty for all.
    """
    data, directory = config.data, evaluation.reference_dir
    held_out_source = open_held_out(metrics, data.held_out, data_dir=data.data_dir, **_get_image_size(config))
    trained_on = source
    if held_out_source is not None:
        trained_on = source or _try_to_open_training_images(config)
        check_is_not_trained_on(data.held_out, held_out_source, trained_on)
        held_out_source = keep_classes("held_out", data.held_out, held_out_source, selected)
    check = functools.partial(check_held_out, data.held_out, held_out_source, metrics)
    reference = _find_run_reference(config, source, evaluation, metrics, extraction, class_names, selected, check)
    held_out = find_held_out_images(data.held_out, held_out_source, extraction, directory, metrics, reference)
    if evaluation.evaluation_labels == UNIFORM and reference is not None and extraction.is_writer:
        warn_if_unbalanced(class_names, reference)
    notes = compare_with_training_images(metrics, _format_name(data), trained_on, reference)
    return Evaluator(extraction, metrics, reference, evaluation.evaluation_labels, held_out, notes)


def _try_to_open_training_images(config: Config) -> Source | None:
    """Open the training images of a run; return None on a machine without them."""
    try:
        return open_source(config.data, **_get_image_size(config))
    except UserError:
        return None


def _find_run_reference(
    config: Config,
    source: Source | None,
    evaluation: EvaluationConfig,
    metrics: list[Metric],
    extraction: Extraction,
    class_names: tuple[str, ...],
    selected: tuple[str, ...],
    check: Callable[[Provenance], object],
) -> Reference | None:
    """Return the reference for a run's generator, or None if none is needed.

    The option `reference` names it; if it is empty, the source is the reference. `check` is called before the reference
    is computed, which may take hours.
    """
    if not is_reference_needed(evaluation, metrics):
        return None
    text, directory, num_samples = evaluation.reference, evaluation.reference_dir, evaluation.num_samples
    if text.endswith(".npz"):
        reference = find_reference_images(text, None, extraction, directory, metrics, num_samples)
        if extraction.is_writer:
            warn_of_other_classes("reference", text, reference.provenance.class_names, selected)
        return reference
    if text or source is None:
        source = open_images("reference", text, data_dir=config.data.data_dir, **_get_image_size(config))
        source = keep_classes("reference", text, source, selected)
    name = text or _format_name(config.data)
    check(describe_images(name, source, extraction.extractor))
    if evaluation.evaluation_labels == REFERENCE:
        match_classes(class_names, source.class_names, name)
    return find_reference_images(name, source, extraction, directory, metrics, num_samples)


def _get_image_size(config: Config) -> dict[str, int]:
    return {"resolution": config.model.resolution, "image_channels": config.model.image_channels}


def _format_name(data: DataConfig) -> str:
    return data.data_dir if data.dataset == "folder" else f"{data.dataset}:{data.split}"
