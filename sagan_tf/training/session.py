"""A training run from a configuration: puts the parts together and starts the loop."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.data.pipeline import training_dataset
from sagan_tf.data.preprocessing import scale_to_unit_range, to_uint8
from sagan_tf.data.source import Source
from sagan_tf.data.sources import open_source
from sagan_tf.errors import UserError
from sagan_tf.losses import LOSSES
from sagan_tf.networks.architectures import find_stages
from sagan_tf.networks.attention_maps import AttentionReader, attended_pictures
from sagan_tf.training import actions
from sagan_tf.training.checkpoints import BEST, BEST_RECORD, Checkpoints, restore_latest
from sagan_tf.training.diagnostics import network_scalars
from sagan_tf.training.evaluation_action import Evaluate, Evaluation, read_best
from sagan_tf.training.inspection_actions import AttentionMaps, Histograms, Profile
from sagan_tf.training.loop import Action, Every, run_loop
from sagan_tf.training.run_directory import RunDirectory
from sagan_tf.training.run_lock import run_lock
from sagan_tf.training.sampling import LatentSampler, fixed_inputs, generate_images
from sagan_tf.training.startup import describe_run, log_description
from sagan_tf.training.state import TrainState, create_state
from sagan_tf.training.steps import AlternatingUpdates, judge, judge_and_classify
from sagan_tf.training.stop_signals import StopOnSignal, StopSignals
from sagan_tf.training.strategy import check_batch_size, create_strategy, is_chief, num_workers
from sagan_tf.training.tensorboard import write_introduction
from sagan_tf.training.trainer import Trainer
from sagan_tf.visualization.attention_maps import AttendedPicture

_logger = logging.getLogger("sagan_tf")
_SAMPLE_COLUMNS = 8
_PREVIEWED_IMAGES = 16
_ATTENDED_PICTURES = 3
_ATTENDED_A_SIDE = 16
"""Locations of which attention maps are looked at: enough to choose the dots among."""


MakeEvaluation = Callable[[Config, Source, tf.distribute.Strategy], Evaluation]


def train(config: Config, to_flagfile: Callable[[Config], str], make_evaluation: MakeEvaluation | None = None) -> None:
    """Trains the run that `config` describes, from its last checkpoint if there is one, to `num_steps`.

    Args:
        config: the run.
        to_flagfile: writes a configuration as a flagfile, for `run_dir/flags.cfg`.
        make_evaluation: opens what evaluates the run's generator every `evaluate_every` steps; None: nothing does.

    Raises:
        UserError: for a configuration, data or a run folder that cannot be used, and when training stops because a loss
            or gradient is not finite.
    """
    check_config(config)
    strategy = create_strategy(config.training)
    check_batch_size(config.training, strategy.num_replicas_in_sync)
    source = open_source(config.data, resolution=config.model.resolution, image_channels=config.model.image_channels)
    config = resolve_classes(config, source)
    flagfile = to_flagfile(config)
    run_directory = RunDirectory(config.training.run_dir)
    run_directory.check_flags(flagfile)

    with strategy.scope():
        state = create_state(config)
    restored = restore_latest(state, run_directory.checkpoints)
    if restored is not None:
        run_directory.check_data(source.num_examples, source.class_names)
        if restored >= config.training.num_steps:
            _logger.info("nothing to do: %s has done %d steps", run_directory.path, restored)
            return
    evaluation = make_evaluation(config, source, strategy) if make_evaluation else None
    iterator = _training_iterator(config, source, strategy, int(state.data_position.numpy()))
    with contextlib.ExitStack() as stack:
        if not is_chief(strategy):  # every worker takes part in saving, one keeps it
            run_directory = RunDirectory(stack.enter_context(tempfile.TemporaryDirectory(prefix="sagan_tf_")))
        run_directory.create()  # not before: a mistake in the flags or the data leaves nothing behind
        stack.enter_context(run_lock(run_directory.path))
        run_directory.write_records(flagfile)
        _introduce(config, source, state, strategy, run_directory)
        if restored is not None:
            _logger.info("resumed at step %d", restored)
        trainer = Trainer(create_updates(config, state), strategy, iterator, config.training)
        _run(config, source, trainer, run_directory, evaluation, stack)


def _run(
    config: Config,
    source: Source,
    trainer: Trainer,
    run_directory: RunDirectory,
    evaluation: Evaluation | None,
    stack: contextlib.ExitStack,
) -> None:
    """Trains to the end; what has to be closed is closed by `stack`."""
    training = config.training
    checkpoints = Checkpoints(run_directory.checkpoints, trainer.state, training.keep_checkpoints)
    writer = tf.summary.create_file_writer(str(run_directory.tensorboard))
    stack.callback(writer.close)
    write_introduction(writer, config)
    images_per_step = training.global_batch_size * training.discriminator_steps_per_step
    progress = actions.Progress(trainer.step, training.num_steps, images_per_step, training.log_every)
    stack.callback(progress.close)
    scales = trainer.state.loss_scales
    guard = actions.StopOnNonFinite(checkpoints, lambda: min(scales().values(), default=1.0))
    records = _records(config, source, trainer.state, run_directory, writer)
    save = Every(training.checkpoint_every, actions.SaveCheckpoint(checkpoints))
    intervals = [training.steps_per_loop, training.log_every, training.sample_every, training.checkpoint_every]
    after_saving: list[Action] = []  # an evaluation may take long: what ends it loses no steps
    if evaluation is not None:
        evaluate = _evaluate_action(config, evaluation, trainer.state, run_directory, writer)
        after_saving.append(Every(config.evaluation.evaluate_every, evaluate))
        intervals.append(config.evaluation.evaluate_every)
    if training.histogram_every:
        intervals.append(training.histogram_every)
    if training.profile_steps:
        first, last = training.profile_steps
        profile = Profile(str(run_directory.tensorboard), first, last, trainer.step)
        stack.callback(profile.close)
        after_saving.append(profile)
    stopping: list[Action] = []
    if num_workers(trainer.strategy) == 1:  # saving takes all workers, and a signal may come to one of them
        stopping.append(StopOnSignal(stack.enter_context(StopSignals()), checkpoints))
    in_order: list[Action] = [guard, progress, *records, *stopping, save, *after_saving]
    with source.skipped.raising_user_errors():
        run_loop(trainer, in_order, num_steps=training.num_steps, intervals=intervals, stops=training.profile_steps)
    if source.skipped.count:
        _logger.warning("%d unreadable images were skipped; each is named above", source.skipped.count)
    _logger.info("done: %d steps in %s", training.num_steps, run_directory.path)


def _evaluate_action(
    config: Config,
    evaluation: Evaluation,
    state: TrainState,
    run_directory: RunDirectory,
    writer: tf.summary.SummaryWriter,
) -> Evaluate:
    best = run_directory.checkpoints / BEST
    # Every worker reads the run's own folder, or they would not agree on what is best.
    shared = RunDirectory(config.training.run_dir).checkpoints / BEST
    return Evaluate(
        evaluation,
        state.generator_ema,
        run_directory.metrics,
        writer,
        Checkpoints(best, state, keep=1),
        best / BEST_RECORD,
        read_best(shared / BEST_RECORD),
        config.evaluation.collapse_patience,
    )


def check_config(config: Config) -> None:
    """Raises UserError for what can be known to be wrong before any data is opened."""
    find_stages(config.model)
    if config.training.loss not in LOSSES:
        raise UserError(f"loss: expected one of {', '.join(LOSSES)}, received {config.training.loss!r}")


def resolve_classes(config: Config, source: Source) -> Config:
    """Fills in `num_classes` from the data, and refuses labels that do not fit the configuration.

    Raises:
        UserError: if a number of classes is given that the data hasn't, or unlabelled data is to be conditioned on.
    """
    found, given = len(source.class_names), config.model.num_classes
    if config.model.conditioning == "none":
        found = 0
    elif not found:
        raise UserError(
            f"conditioning: expected none, since {source.name} has no labels, received {config.model.conditioning}"
        )
    if given not in (0, found):
        raise UserError(f"num_classes: expected {found} for {source.name} (0 takes it from the data), received {given}")
    return dataclasses.replace(config, model=dataclasses.replace(config.model, num_classes=found))


def create_updates(config: Config, state: TrainState) -> AlternatingUpdates:
    """The two updates that `config` asks for, on `state`."""
    sampler = LatentSampler(
        seed=config.training.seed,
        latent_dim=config.model.latent_dim,
        num_classes=config.model.num_classes,
        global_batch_size=config.training.global_batch_size,
    )
    return AlternatingUpdates(
        state,
        LOSSES[config.training.loss],
        judge_and_classify if config.model.conditioning == "auxiliary_classifier" else judge,
        sampler,
        config.training.gradient_accumulation_steps,
    )


def _training_iterator(
    config: Config, source: Source, strategy: tf.distribute.Strategy, position: int
) -> Iterator[Any]:
    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return training_dataset(
            source,
            batch_size=context.get_per_replica_batch_size(config.training.global_batch_size),
            seed=config.training.seed,
            position=position,
            random_flip=config.data.random_flip,
            shard_index=context.input_pipeline_id,
            num_shards=context.num_input_pipelines,
        )

    return iter(strategy.distribute_datasets_from_function(of_worker))


def _introduce(
    config: Config, source: Source, state: TrainState, strategy: tf.distribute.Strategy, run_directory: RunDirectory
) -> None:
    """Says and records what the run is, looking at its first few images."""
    with source.skipped.raising_user_errors():
        examples = list(source.preview(_PREVIEWED_IMAGES).as_numpy_iterator())
    if not examples:
        raise UserError(f"data: expected readable images, received none among the first {_PREVIEWED_IMAGES}")
    images = scale_to_unit_range(tf.stack([example["image"] for example in examples])).numpy()
    description = describe_run(config, source, state, strategy, images)
    run_directory.write_json(run_directory.startup, description)
    log_description(description)


def _records(
    config: Config,
    source: Source,
    state: TrainState,
    run_directory: RunDirectory,
    writer: tf.summary.SummaryWriter,
) -> list[Action]:
    """The actions that write scalars, pictures and histograms."""
    training = config.training
    rates = {
        "generator_learning_rate": training.generator_learning_rate,
        "discriminator_learning_rate": training.discriminator_learning_rate,
    }
    read_networks = network_scalars(state)
    scalars = actions.Scalars(
        run_directory.metrics,
        writer,
        every=training.log_every,
        images_per_step=training.global_batch_size * training.discriminator_steps_per_step,
        step=int(state.step.numpy()),
        extra=lambda: rates | state.loss_scales() | read_networks(),
    )
    pictures = [Every(training.sample_every, one) for one in _pictures(config, source, state, run_directory, writer)]
    if training.histogram_every:
        histograms = Histograms(writer, [state.generator, state.discriminator])
        pictures.append(Every(training.histogram_every, histograms))
    return [scalars, *pictures]


def _pictures(
    config: Config,
    source: Source,
    state: TrainState,
    run_directory: RunDirectory,
    writer: tf.summary.SummaryWriter,
) -> list[Action]:
    """Sample grids, and attention maps of the first picture of some of their rows."""
    inputs = fixed_inputs(config.model.latent_dim, config.model.num_classes, _SAMPLE_COLUMNS, seed=config.training.seed)
    rows = inputs[1].numpy()[::_SAMPLE_COLUMNS] if config.model.num_classes else []
    row_names = [source.class_names[label] for label in rows]

    # Once: a Keras model made anew at every look would take seconds, and memory that comes back late.
    reader = AttentionReader(state.generator_ema)

    def draw() -> np.ndarray:
        return generate_images(state.generator_ema, *inputs)

    def look() -> list[AttendedPicture]:
        first = [one[::_SAMPLE_COLUMNS][:_ATTENDED_PICTURES] for one in inputs]
        images = to_uint8(generate_images(state.generator_ema, *first)).numpy()
        return attended_pictures(reader, first, images, row_names or [""] * len(images), _ATTENDED_A_SIDE)

    grid = actions.SampleGrid(run_directory.samples, writer, draw, _SAMPLE_COLUMNS, row_names)
    return [grid, AttentionMaps(writer, look)] if reader.sizes else [grid]
