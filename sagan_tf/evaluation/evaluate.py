"""An evaluation from its options: a run's, a folder's, or one in the middle of training."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sagan_tf.config import Config, DataConfig, EvaluationConfig, TrainingConfig
from sagan_tf.config.dependent_options import EVALUATE, check_dependent_fields
from sagan_tf.data.image_sets import is_folder, open_finished_images, open_images
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.distribution.devices import exact_float32
from sagan_tf.distribution.lost_workers import explain_lost_workers
from sagan_tf.distribution.memory_errors import explain_memory_errors
from sagan_tf.distribution.strategy import create_strategy, num_workers
from sagan_tf.distribution.worker_agreement import on_chief
from sagan_tf.errors import UserError
from sagan_tf.evaluation.checks import check_names, check_number_of_images
from sagan_tf.evaluation.evaluator import Evaluator
from sagan_tf.evaluation.label_distribution import REFERENCE, UNIFORM, match_classes, warn_if_unbalanced
from sagan_tf.evaluation.metrics import Metric, find_metrics, needs_reference
from sagan_tf.evaluation.options import EvaluateOptions
from sagan_tf.evaluation.record_outputs import RecordOutputs, print_table
from sagan_tf.evaluation.reference import Reference
from sagan_tf.evaluation.reference_store import find_reference
from sagan_tf.evaluation.result import Result
from sagan_tf.evaluation.settings import compares_with_reference, resolve
from sagan_tf.features.extraction import Extraction
from sagan_tf.features.extractors import ExtractorOptions, open_extractor
from sagan_tf.keras_backend import keras
from sagan_tf.runs.checkpoints import load_generator
from sagan_tf.runs.run_directory import RunDirectory


@explain_memory_errors("evaluation", "lower --evaluation_batch_size")
def evaluate(
    options: EvaluateOptions, evaluation: EvaluationConfig, read_config: Callable[[pathlib.Path], Config]
) -> None:
    """Evaluate what `options` name; print a table, and write the record to the run's folder and to `options.output`.

    Args:
        options: what to evaluate.
        evaluation: how.
        read_config: reads a run's `flags.cfg`.

    Raises:
        UserError: something is missing, or does not fit together; nothing has then been written but, perhaps, a
            reference. Or the result cannot be written any more; it has then been printed.
        WorkerLost: another worker does not answer any more.
    """
    run = _open_run(options, read_config) if options.run_dir else None
    given, evaluation = evaluation, resolve(evaluation, run.config.evaluation if run else None)
    metrics = find_metrics(evaluation.metrics)
    _check_effects(options, given, evaluation, metrics, run)
    check_names(evaluation.extractor, metrics)
    placement = TrainingConfig(strategy=options.strategy, logical_cpus=options.logical_cpus, tf32=False)
    strategy = create_strategy(placement)
    with explain_lost_workers(num_workers(strategy), "the same command evaluates from the beginning"):
        outputs = on_chief(strategy, lambda: RecordOutputs(options.output, run.directory if run else None))
        with strategy.scope():
            extractor = open_extractor(_extractor_options(evaluation))
        extraction = Extraction(extractor, strategy, evaluation.evaluation_batch_size)
        if run:
            record = _of_run(run, options, evaluation, metrics, extraction, strategy)
        else:
            result = _of_images(options, evaluation, metrics, extraction)
            record = {"kind": "evaluation", "images": options.images} | result.record()
        if outputs is not None:  # every worker takes its share, and one writes
            print_table(record, metrics)
            outputs.write(record, metrics)


def _check_effects(
    options: EvaluateOptions,
    given: EvaluationConfig,
    resolved: EvaluationConfig,
    metrics: list[Metric],
    run: _Run | None,
) -> None:
    """Check that every flag that is given has an effect, where a run fills in what is not given."""
    facts = {
        "is_folder": bool(options.images) and is_folder(options.images),
        "is_compared": compares_with_reference(resolved, metrics),
        "resolved_metrics": resolved.metrics,
        "resolved_extractor": resolved.extractor,
        "resolved_reference": resolved.reference,
        "has_classes": run is None or run.config.model.conditioning != "none",
    }
    check_dependent_fields(EVALUATE, options, given, facts=facts)


@dataclasses.dataclass(frozen=True)
class _Run:
    config: Config
    directory: RunDirectory


def _open_run(options: EvaluateOptions, read_config: Callable[[pathlib.Path], Config]) -> _Run:
    directory = RunDirectory(options.run_dir)
    if not directory.flags.is_file():
        raise UserError(f"run_dir: expected the folder of a run, with flags.cfg in it, received {options.run_dir}")
    return _Run(read_config(directory.flags), directory)


def _extractor_options(evaluation: EvaluationConfig) -> ExtractorOptions:
    return ExtractorOptions(
        evaluation.extractor, evaluation.inception_dir, evaluation.extractor_features, evaluation.extractor_logits
    )


def _of_run(
    run: _Run,
    options: EvaluateOptions,
    evaluation: EvaluationConfig,
    metrics: list[Metric],
    extraction: Extraction,
    strategy: tf.distribute.Strategy,
) -> dict[str, Any]:
    """Return the record of a run's generator."""
    config = run.config
    if options.data_dir:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, data_dir=options.data_dir))
    with strategy.scope():
        generator, step = load_generator(
            config, run.directory.checkpoints, options.checkpoint, averaged=options.generator_weights == "ema"
        )
    # A run can be evaluated where its data is not, if it is told what else to compare with.
    is_needed = compares_with_reference(evaluation, metrics) and not evaluation.reference
    source = open_source(config.data, **_size_of(config)) if is_needed else None
    names = source.class_names if source else _recorded_names(run)
    names = names if config.model.num_classes else ()
    evaluator = _evaluator_of_run(config, source, evaluation, metrics, extraction, names)
    result = evaluator.of_generator(generator, config.model, names, evaluation.num_samples, options.seed)
    about = {"step": step, "kind": "evaluation", "generator_weights": options.generator_weights}
    return about | result.record()


def _recorded_names(run: _Run) -> tuple[str, ...]:
    """Of its classes; if they are not known, their numbers, which stand for the classes of the reference."""
    num_classes = run.config.model.num_classes
    return run.directory.class_names(num_classes) or tuple(map(str, range(num_classes)))


def _of_images(
    options: EvaluateOptions, evaluation: EvaluationConfig, metrics: list[Metric], extraction: Extraction
) -> Result:
    extractor = extraction.extractor
    channels = options.image_channels or extractor.channels
    if is_folder(options.images):
        source: Source = open_finished_images(options.images, channels)
    else:
        resolution = options.resolution or (extractor.size or (0, 0))[0]
        if not resolution:
            raise UserError(f"resolution: expected a size for {options.images}, since {extractor.name} takes any")
        source = open_images(
            "images",
            options.images,
            data_dir=options.data_dir,
            resolution=resolution,
            image_channels=channels or 3,
        )
    check_number_of_images(metrics, source)
    reference = None
    if needs_reference(metrics) and evaluation.reference:
        reference = _find_reference(evaluation, options.data_dir, source.resolution, source.image_channels, extraction)
    return Evaluator(extraction, metrics, reference).of_images(source)


def _evaluator_of_run(
    config: Config,
    source: Source | None,
    evaluation: EvaluationConfig,
    metrics: list[Metric],
    extraction: Extraction,
    class_names: tuple[str, ...],
) -> Evaluator:
    """Return what evaluates a run's generator, whose classes have these names; the source is the run's data."""
    reference = _reference_of_run(config, source, evaluation, metrics, extraction, class_names)
    if evaluation.evaluation_labels == UNIFORM and reference is not None and extraction.writes:
        warn_if_unbalanced(class_names, reference)
    return Evaluator(extraction, metrics, reference, evaluation.evaluation_labels)


def _reference_of_run(
    config: Config,
    source: Source | None,
    evaluation: EvaluationConfig,
    metrics: list[Metric],
    extraction: Extraction,
    class_names: tuple[str, ...],
) -> Reference | None:
    """Return what a run's pictures are compared with: the source, unless others are named."""
    if not compares_with_reference(evaluation, metrics):
        return None
    text, directory = evaluation.reference, evaluation.reference_dir
    if text.endswith(".npz"):
        return find_reference(text, None, extraction, directory)
    if text or source is None:
        source = open_images("reference", text, data_dir=config.data.data_dir, **_size_of(config))
    name = text or _name_of(config.data)
    if evaluation.evaluation_labels == REFERENCE:  # said before the reference is computed, which may take hours
        match_classes(class_names, source.class_names, name)
    return find_reference(name, source, extraction, directory)


def _size_of(config: Config) -> dict[str, int]:
    return {"resolution": config.model.resolution, "image_channels": config.model.image_channels}


def _find_reference(
    evaluation: EvaluationConfig, data_dir: str, resolution: int, image_channels: int, extraction: Extraction
) -> Reference:
    text = evaluation.reference
    source = None
    if not text.endswith(".npz"):
        size = {"resolution": resolution, "image_channels": image_channels}
        source = open_images("reference", text, data_dir=data_dir, **size)
    return find_reference(text, source, extraction, evaluation.reference_dir)


def _name_of(data: DataConfig) -> str:
    return data.data_dir if data.dataset == "folder" else f"{data.dataset}:{data.split}"


def training_evaluation(
    config: Config, source: Source, strategy: tf.distribute.Strategy
) -> Callable[[keras.Model], Result]:
    """Return what evaluates a run's generator while it trains; open extractor and reference now: mistakes show at once.

    Args:
        config: the run's.
        source: its training images, the reference unless `config.evaluation.reference` names another.
        strategy: where the run computes.

    Raises:
        UserError: something is missing, or does not fit together.
    """
    evaluation = resolve(config.evaluation)
    metrics = find_metrics(evaluation.metrics)
    check_names(evaluation.extractor, metrics)
    names = source.class_names if config.model.num_classes else ()
    with exact_float32():
        with strategy.scope():
            extractor = open_extractor(_extractor_options(evaluation))
        extraction = Extraction(extractor, strategy, evaluation.evaluation_batch_size)
        evaluator = _evaluator_of_run(config, source, evaluation, metrics, extraction, names)
        evaluator.check_generator(config.model, names, evaluation.num_samples, config.training.seed)

    def evaluate_generator(generator: keras.Model) -> Result:
        with exact_float32():
            return evaluator.of_generator(generator, config.model, names, evaluation.num_samples, config.training.seed)

    return evaluate_generator
