"""The start of a training run from its configuration."""

from __future__ import annotations

import contextlib
import functools
import logging
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.data.images.preprocessing import scale_to_unit_range
from sagan_tf.data.pipeline import make_training_dataset
from sagan_tf.data.sources.source import Source
from sagan_tf.distribution.memory_errors import explain_memory_errors
from sagan_tf.distribution.strategy import count_workers, create_strategy, is_chief
from sagan_tf.distribution.worker_agreement import run_on_chief
from sagan_tf.errors import UserError
from sagan_tf.runs.checkpoints import (
    BEST_DIRECTORY,
    Checkpoints,
    find_newest_checkpoint,
    remove_unfinished_checkpoints,
)
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.runs.run_lock import lock_run_directory
from sagan_tf.runs.system_errors import MEMORY_REMEDY, explain_system_errors
from sagan_tf.schedules import warn_if_rates_reach_zero
from sagan_tf.training.actions.evaluation import Evaluation
from sagan_tf.training.actions.non_finite import NonFiniteError, roll_back
from sagan_tf.training.actions.preemption import StopAllWorkers
from sagan_tf.training.actions.schedule import Action
from sagan_tf.training.actions.stop_signals import StopOnSignal, StopSignals
from sagan_tf.training.fine_tuning.origin import WeightOrigin, record_origin
from sagan_tf.training.health.overfitting import open_overfitting_reader
from sagan_tf.training.label_sampling import sample_labels
from sagan_tf.training.opening import check_run, open_run
from sagan_tf.training.run_actions import is_evaluation_missing, run_training
from sagan_tf.training.run_summary import describe_run, log_description
from sagan_tf.training.state import TrainState
from sagan_tf.training.trainer import Trainer
from sagan_tf.training.updates import create_updates
from sagan_tf.training.worker_consistency import check_worker_consistency

_logger = logging.getLogger("sagan_tf")
_NUM_PREVIEWED_IMAGES = 16
_MIN_LOGGED_REREAD_BYTES = 10**9
"""Reading this many bytes again takes some seconds."""
_SEEDS_BETWEEN_ROLLBACKS = 1_000_003
"""Added to the seed of the image order at each rollback; far from the seeds of other runs, which are 0, 1, ..."""

EvaluationFactory = Callable[[Config, Source, tf.distribute.Strategy], Evaluation]
"""Creates the evaluation of a run's generator."""


@explain_memory_errors("training", MEMORY_REMEDY)
def train(config: Config, make_evaluation: EvaluationFactory | None = None) -> None:
    """Train a run to `num_steps`, from its last checkpoint if it has one.

    Args:
        config: The run.
        make_evaluation: Creates the evaluation of the generator every `evaluate_every` steps; None for no evaluations.

    Raises:
        UserError: The configuration, the data or the run directory cannot be used, or training stops because a loss or
            gradient is not finite.
    """
    run_directory = check_run(config)
    strategy = create_strategy(config.training)
    with explain_system_errors(run_directory.path, num_workers=count_workers(strategy)):
        _train(config, make_evaluation, run_directory, strategy)


def _train(
    config: Config,
    make_evaluation: EvaluationFactory | None,
    run_directory: RunDirectory,
    strategy: tf.distribute.Strategy,
) -> None:
    """Open the data and the run, and train if there are steps or evaluations left."""
    source, config, state, restored, newest, origin = open_run(config, strategy, run_directory)
    if restored is not None and restored >= config.training.num_steps and not is_evaluation_missing(config, restored):
        _logger.info("nothing to do: %s has done %d steps", run_directory.path, restored)
        return
    run_on_chief(strategy, run_directory.check_can_write)  # before the reference of an evaluation, which may take a day
    sampled = sample_labels(config, source)
    overfitting = run_on_chief(strategy, lambda: open_overfitting_reader(config, source, state))
    evaluation = make_evaluation(config, source, strategy) if make_evaluation else None
    iterator = _create_training_iterator(config, sampled.source, strategy, state)
    flagfile = config.to_flagfile()
    with contextlib.ExitStack() as stack:
        run_directory = _open_run_directory(run_directory, newest, flagfile, strategy, stack)
        _record_run_description(config, source, state, strategy, run_directory, origin)
        if restored is not None:
            _logger.info("resumed at step %d", restored)
            _log_reread_bytes(sampled.source, int(state.data_position.numpy()))
        trainer = Trainer(create_updates(config, state, sampled.class_counts), strategy, iterator, config.training)
        checkpoints = Checkpoints(run_directory.checkpoints, state, config.training.keep_checkpoints)
        stop = _create_stop_action(config, strategy, checkpoints, stack)
        replicas = strategy.num_replicas_in_sync
        _logger.info("tracing the training step for %d replica%s ...", replicas, "s" * (replicas > 1))
        run = functools.partial(
            run_training, config, source, trainer, run_directory, checkpoints, evaluation, overfitting, stop
        )
        _run_with_rollbacks(run, config, sampled.source, trainer)
    _logger.info("done: %d steps in %s", config.training.num_steps, config.training.run_dir)


def _open_run_directory(
    run_directory: RunDirectory,
    newest: str | None,
    flagfile: str,
    strategy: tf.distribute.Strategy,
    stack: contextlib.ExitStack,
) -> RunDirectory:
    """Create and lock the directory that this worker writes, and write its records.

    Every worker takes part in saving, but only the chief writes the run directory; the other workers write a temporary
    one. An error in the flags or the data occurs before this and leaves no directory behind.

    Raises:
        UserError: Another process uses the directory, or has saved a checkpoint since this process restored `newest`.
    """
    if not is_chief(strategy):
        run_directory, newest = RunDirectory(stack.enter_context(tempfile.TemporaryDirectory(prefix="sagan_tf_"))), None
    run_directory.create()
    stack.enter_context(lock_run_directory(run_directory.path))
    if (found := find_newest_checkpoint(run_directory.checkpoints)) != newest:
        raise UserError(
            f"run_dir: expected no other process to train {run_directory.path} while this one started, but one has "
            f"saved {found}; start the same command again"
        )
    remove_unfinished_checkpoints(run_directory.checkpoints)
    remove_unfinished_checkpoints(run_directory.checkpoints / BEST_DIRECTORY)
    run_directory.write_records(flagfile)
    return run_directory


def _run_with_rollbacks(run: Callable[[], None], config: Config, source: Source, trainer: Trainer) -> None:
    """Train, and start again from the last good checkpoint after a non-finite value."""
    is_done = False
    while not is_done:
        try:
            with source.skipped.raise_user_errors():
                run()
            is_done = True
        except NonFiniteError as error:
            _roll_back(error, config, source, trainer)
    if source.skipped.count:
        _logger.warning("skipped %d unreadable images; the messages above name them", source.skipped.count)


def _log_reread_bytes(source: Source, position: int) -> None:
    """Log how much is read again before the first step, if it takes some seconds."""
    num_bytes = source.count_reread_bytes(position)
    if num_bytes > _MIN_LOGGED_REREAD_BYTES:
        _logger.info(
            "reading %.1f GB of %s again, to resume at image %d of its epoch; no image is decoded twice",
            num_bytes / 1e9,
            source.name,
            position % source.num_examples,
        )


def _create_stop_action(
    config: Config, strategy: tf.distribute.Strategy, checkpoints: Checkpoints, stack: contextlib.ExitStack
) -> Action:
    """Create the action that stops the run after a signal."""
    signals = stack.enter_context(StopSignals())
    if count_workers(strategy) == 1:
        return StopOnSignal(signals, checkpoints)
    empty_directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="sagan_tf_"))
    run_dir = RunDirectory(config.training.run_dir).path
    return StopAllWorkers(strategy, signals, checkpoints, run_dir, pathlib.Path(empty_directory))


def _roll_back(error: NonFiniteError, config: Config, source: Source, trainer: Trainer) -> None:
    """Restore the last good checkpoint, or raise the error without rollbacks."""
    if config.training.on_non_finite != "rollback":
        raise error
    shared = RunDirectory(config.training.run_dir).checkpoints  # every worker reads the run directory
    roll_back(error, trainer.state, shared, config.training.max_rollbacks)
    check_worker_consistency(trainer.strategy, trainer.state)
    trainer.replace_iterator(_create_training_iterator(config, source, trainer.strategy, trainer.state))


def _create_training_iterator(
    config: Config, source: Source, strategy: tf.distribute.Strategy, state: TrainState
) -> Iterator[Any]:
    """Create the iterator of training batches from the data position of the state."""
    position, rollbacks = int(state.data_position.numpy()), int(state.rollbacks.numpy())

    def create_worker_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return make_training_dataset(
            source,
            batch_size=context.get_per_replica_batch_size(config.training.global_batch_size),
            seed=config.training.seed + rollbacks * _SEEDS_BETWEEN_ROLLBACKS,
            position=position,
            random_flip=config.data.random_flip,
            shard_index=context.input_pipeline_id,
            num_shards=context.num_input_pipelines,
        )

    return iter(strategy.distribute_datasets_from_function(create_worker_dataset))


def _record_run_description(
    config: Config,
    source: Source,
    state: TrainState,
    strategy: tf.distribute.Strategy,
    run_directory: RunDirectory,
    origin: WeightOrigin | None,
) -> None:
    """Log and write the description of the run, with the range of its first images and the origin of its weights."""
    with source.skipped.raise_user_errors():
        examples = list(source.preview(_NUM_PREVIEWED_IMAGES).as_numpy_iterator())
    if not examples:
        raise UserError(
            f"data: none of the first {_NUM_PREVIEWED_IMAGES} images can be read; check --dataset and --data_dir"
        )
    images = scale_to_unit_range(tf.stack([example["image"] for example in examples])).numpy()
    description = describe_run(config, source, state, strategy, images)
    run_directory.write_json(run_directory.startup, description)
    log_description(description)
    record_origin(origin, run_directory)
    warn_if_rates_reach_zero(config.training)
