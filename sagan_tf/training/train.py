"""Start a training run from a configuration: put its parts together and run the loop."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.data.images.preprocessing import scale_to_unit_range
from sagan_tf.data.pipeline import training_dataset
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.distribution.memory_errors import explain_memory_errors
from sagan_tf.distribution.strategy import check_batch_size, check_jit_compile, create_strategy, is_chief, num_workers
from sagan_tf.distribution.worker_agreement import on_chief
from sagan_tf.errors import UserError
from sagan_tf.runs.checkpoints import BEST, Checkpoints, remove_unfinished, restore_latest
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.runs.run_lock import run_lock
from sagan_tf.runs.system_errors import MEMORY_REMEDY, explaining_failures
from sagan_tf.schedules import warn_if_rates_reach_zero
from sagan_tf.tensorflow_paths import check_readable_path
from sagan_tf.training.actions.evaluation import Evaluation
from sagan_tf.training.actions.non_finite import NonFiniteError, roll_back
from sagan_tf.training.actions.preemption import StopTogether
from sagan_tf.training.actions.schedule import Action
from sagan_tf.training.actions.stop_signals import StopOnSignal, StopSignals
from sagan_tf.training.health.overfitting import open_overfitting_reader
from sagan_tf.training.run_actions import evaluation_is_missing, run_to_the_end
from sagan_tf.training.run_summary import describe_run, log_description
from sagan_tf.training.state import TrainState, create_state
from sagan_tf.training.trainer import Trainer
from sagan_tf.training.updates import create_updates
from sagan_tf.training.validation import check_config, check_flags, resolve_classes
from sagan_tf.training.worker_consistency import check_worker_consistency

_logger = logging.getLogger("sagan_tf")
_PREVIEWED_IMAGES = 16
_BYTES_READ_IN_SECONDS = 10**9
_SEEDS_BETWEEN_ROLLBACKS = 1_000_003
"""Far from the seeds of other runs, which people count up from 0."""

MakeEvaluation = Callable[[Config, Source, tf.distribute.Strategy], Evaluation]


@explain_memory_errors("training", MEMORY_REMEDY)
def train(config: Config, to_flagfile: Callable[[Config], str], make_evaluation: MakeEvaluation | None = None) -> None:
    """Train the run that `config` describes to `num_steps`, from its last checkpoint if it has one.

    Args:
        config: The run.
        to_flagfile: Writes a configuration as a flagfile, for `run_dir/flags.cfg`.
        make_evaluation: Opens what evaluates the run's generator every `evaluate_every` steps; None: nothing does.

    Raises:
        UserError: The configuration, the data or the run directory cannot be used, or training stops because a loss or
            gradient is not finite.
    """
    check_config(config)
    run_directory = RunDirectory(config.training.run_dir)
    check_flags(config, kept=run_directory.equal_flags(to_flagfile(config)))
    strategy = create_strategy(config.training)
    with explaining_failures(run_directory.path, num_workers=num_workers(strategy)):
        _train(config, to_flagfile, make_evaluation, run_directory, strategy)


def _train(
    config: Config,
    to_flagfile: Callable[[Config], str],
    make_evaluation: MakeEvaluation | None,
    run_directory: RunDirectory,
    strategy: tf.distribute.Strategy,
) -> None:
    """Do what `train` says, where the strategy computes."""
    check_jit_compile(config.training, strategy)
    check_batch_size(config.training, strategy.num_replicas_in_sync, config.model.discriminator_minibatch_statistics)
    source = open_source(config.data, resolution=config.model.resolution, image_channels=config.model.image_channels)
    config = resolve_classes(config, source)
    flagfile = to_flagfile(config)
    run_directory.check_flags(flagfile, to_flagfile(Config()))
    check_readable_path(run_directory.checkpoints)  # refuse a run whose checkpoints could not be read

    with strategy.scope():
        state = create_state(config)
    restored = restore_latest(state, run_directory.checkpoints)
    check_worker_consistency(strategy, state)
    if restored is not None:
        run_directory.check_data(source.num_examples, source.class_names)
        if restored >= config.training.num_steps and not evaluation_is_missing(config, restored):
            _logger.info("nothing to do: %s has done %d steps", run_directory.path, restored)
            return
    on_chief(strategy, run_directory.check_can_write)  # an evaluation's reference may take a day
    overfitting = on_chief(strategy, lambda: open_overfitting_reader(config, source, state, strategy))
    evaluation = make_evaluation(config, source, strategy) if make_evaluation else None
    iterator = _training_iterator(config, source, strategy, state)
    with contextlib.ExitStack() as stack:
        if not is_chief(strategy):  # every worker takes part in saving, one keeps it
            run_directory = RunDirectory(stack.enter_context(tempfile.TemporaryDirectory(prefix="sagan_tf_")))
        run_directory.create()  # not before: a mistake in the flags or the data leaves nothing behind
        stack.enter_context(run_lock(run_directory.path))
        remove_unfinished(run_directory.checkpoints)
        remove_unfinished(run_directory.checkpoints / BEST)
        run_directory.write_records(flagfile)
        _introduce(config, source, state, strategy, run_directory)
        if restored is not None:
            _logger.info("resumed at step %d", restored)
            _announce_reading(source, int(state.data_position.numpy()))
        trainer = Trainer(create_updates(config, state), strategy, iterator, config.training)
        checkpoints = Checkpoints(run_directory.checkpoints, state, config.training.keep_checkpoints)
        stop = _stop_action(config, strategy, checkpoints, stack)
        replicas = strategy.num_replicas_in_sync
        _logger.info("tracing the training step for %d replica%s ...", replicas, "s" * (replicas > 1))
        while True:
            try:
                with source.skipped.raising_user_errors():
                    run_to_the_end(config, source, trainer, run_directory, checkpoints, evaluation, overfitting, stop)
                break
            except NonFiniteError as error:
                _roll_back(error, config, source, trainer)
    if source.skipped.count:
        _logger.warning("%d unreadable images were skipped; each is named above", source.skipped.count)
    _logger.info("done: %d steps in %s", config.training.num_steps, config.training.run_dir)


def _announce_reading(source: Source, position: int) -> None:
    """Log how much is read again before the first step, where it takes a while."""
    num_bytes = source.reread_bytes(position)
    if num_bytes > _BYTES_READ_IN_SECONDS:
        _logger.info(
            "reading %.1f GB of %s again, to go on with image %d of its epoch; no image is decoded twice",
            num_bytes / 1e9,
            source.name,
            position % source.num_examples,
        )


def _stop_action(
    config: Config, strategy: tf.distribute.Strategy, checkpoints: Checkpoints, stack: contextlib.ExitStack
) -> Action:
    """Create the action that ends the run after a signal."""
    signals = stack.enter_context(StopSignals())
    if num_workers(strategy) == 1:
        return StopOnSignal(signals, checkpoints)
    nothing = stack.enter_context(tempfile.TemporaryDirectory(prefix="sagan_tf_"))
    return StopTogether(
        strategy, signals, checkpoints, RunDirectory(config.training.run_dir).path, pathlib.Path(nothing)
    )


def _roll_back(error: NonFiniteError, config: Config, source: Source, trainer: Trainer) -> None:
    """Take the trainer back to the last good checkpoint; raise the error if the configuration does not allow it."""
    if config.training.on_non_finite != "rollback":
        raise error
    shared = RunDirectory(config.training.run_dir).checkpoints  # every worker reads the run's own folder
    roll_back(error, trainer.state, shared, config.training.max_rollbacks)
    check_worker_consistency(trainer.strategy, trainer.state)
    trainer.restart(_training_iterator(config, source, trainer.strategy, trainer.state))


def _training_iterator(
    config: Config, source: Source, strategy: tf.distribute.Strategy, state: TrainState
) -> Iterator[Any]:
    position, rollbacks = int(state.data_position.numpy()), int(state.rollbacks.numpy())

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return training_dataset(
            source,
            batch_size=context.get_per_replica_batch_size(config.training.global_batch_size),
            seed=config.training.seed + rollbacks * _SEEDS_BETWEEN_ROLLBACKS,
            position=position,
            random_flip=config.data.random_flip,
            shard_index=context.input_pipeline_id,
            num_shards=context.num_input_pipelines,
        )

    return iter(strategy.distribute_datasets_from_function(of_worker))


def _introduce(
    config: Config, source: Source, state: TrainState, strategy: tf.distribute.Strategy, run_directory: RunDirectory
) -> None:
    """Log and record what the run is, including the range of its first few images."""
    with source.skipped.raising_user_errors():
        examples = list(source.preview(_PREVIEWED_IMAGES).as_numpy_iterator())
    if not examples:
        raise UserError(f"data: expected readable images, received none among the first {_PREVIEWED_IMAGES}")
    images = scale_to_unit_range(tf.stack([example["image"] for example in examples])).numpy()
    description = describe_run(config, source, state, strategy, images)
    run_directory.write_json(run_directory.startup, description)
    log_description(description)
    warn_if_rates_reach_zero(config.training)
