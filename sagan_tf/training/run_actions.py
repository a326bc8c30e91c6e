"""The actions of a training run, their order and their intervals."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Any

import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.data.sources.source import Source
from sagan_tf.distribution.worker_agreement import create_worker_maximum
from sagan_tf.runs.checkpoints import BEST_DIRECTORY, BEST_RECORD, Checkpoints
from sagan_tf.runs.metrics_log import drop_training_evaluations_at
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.training.actions.checkpoint import SaveCheckpoint
from sagan_tf.training.actions.evaluation import Evaluate, Evaluation, read_best
from sagan_tf.training.actions.inspection import Profile
from sagan_tf.training.actions.non_finite import CheckFinite
from sagan_tf.training.actions.progress import Progress
from sagan_tf.training.actions.schedule import Action, Every, StepReport
from sagan_tf.training.actions.tensorboard import write_run_metadata
from sagan_tf.training.call_length import CallLength
from sagan_tf.training.health.overfitting import OverfittingReader
from sagan_tf.training.loop import run_loop
from sagan_tf.training.monitoring_actions import create_health_actions, create_record_actions
from sagan_tf.training.state import TrainState
from sagan_tf.training.trainer import Trainer


def run_training(
    config: Config,
    source: Source,
    trainer: Trainer,
    run_directory: RunDirectory,
    checkpoints: Checkpoints,
    evaluation: Evaluation | None,
    overfitting: OverfittingReader | None,
    stop: Action,
) -> None:
    """Train until all steps are done, with all actions of a run.

    Args:
        config: The run.
        source: The training images.
        trainer: The trainer.
        run_directory: The directory that this worker writes.
        checkpoints: The newest checkpoints.
        evaluation: The evaluation of the EMA generator; None for no evaluations.
        overfitting: The reader of the overfitting scalars; None if there are no held-out images.
        stop: The action that ends the run after a signal. It runs after the step is recorded and before it is saved.

    Raises:
        NonFiniteError: A loss or gradient is not finite.
        StoppedBySignalError: A signal ended the run.
    """
    training = config.training
    with contextlib.ExitStack() as stack:
        writer = tf.summary.create_file_writer(str(run_directory.tensorboard))
        stack.callback(writer.close)
        write_run_metadata(writer, config)
        progress = _create_progress(config, trainer)
        stack.callback(progress.close)
        check = _create_finite_check(config, trainer.state, checkpoints)
        records = create_record_actions(config, source, trainer.state, run_directory, writer)
        health = create_health_actions(config, source, trainer, run_directory, writer, checkpoints, overfitting)
        save = Every(training.checkpoint_every, SaveCheckpoint(checkpoints))
        after_saving: list[Action] = []  # An evaluation may take long, and be interrupted.
        if evaluation is not None:
            evaluate = _create_evaluate_action(config, evaluation, trainer.state, run_directory, writer)
            after_saving.append(Every(config.evaluation.evaluate_every, evaluate))
            if is_evaluation_missing(config, trainer.step):
                drop_training_evaluations_at(run_directory.metrics, trainer.step)
                evaluate(StepReport(trainer.step, 0, {}, 0.0, trainer.step == training.num_steps))
        if training.profile_steps:
            profile = _create_profile(config, run_directory, trainer.step)
            stack.callback(profile.close)
            after_saving.append(profile)
        run_loop(
            trainer,
            [check, progress, *records, *health, stop, save, *after_saving],
            num_steps=training.num_steps,
            interval=training.steps_per_loop,
            call_length=CallLength(training.steps_per_loop, create_worker_maximum(trainer.strategy)),
            actions_between_calls=[check, progress, stop],
        )


def is_evaluation_missing(config: Config, step: int) -> bool:
    """Return whether the run ended after saving a step and before evaluating it."""
    every, num_steps = config.evaluation.evaluate_every, config.training.num_steps
    if not every or not 0 < step <= num_steps or (step % every and step != num_steps):
        return False
    record = _read_best_record(config)
    return bool(record.get("last_step", step if record else 0) < step)


def _get_shared_best_directory(config: Config) -> pathlib.Path:
    """Return the directory of the best checkpoint of the chief.

    Every worker reads it, so that all agree on the best checkpoint.
    """
    return RunDirectory(config.training.run_dir).checkpoints / BEST_DIRECTORY


def _read_best_record(config: Config) -> dict[str, Any]:
    return read_best(_get_shared_best_directory(config) / BEST_RECORD, config.training.precision)


def _create_progress(config: Config, trainer: Trainer) -> Progress:
    training = config.training
    images_per_step = training.global_batch_size * training.discriminator_steps_per_step
    return Progress(trainer.step, training.num_steps, images_per_step, training.log_every, traces=not trainer.is_traced)


def _create_profile(config: Config, run_directory: RunDirectory, step: int) -> Profile:
    first, last = config.training.profile_steps
    return Profile(str(run_directory.tensorboard), first, last, step)


def _create_finite_check(config: Config, state: TrainState, checkpoints: Checkpoints) -> CheckFinite:
    return CheckFinite(
        checkpoints,
        RunDirectory(config.training.run_dir).checkpoints,
        lambda: bool(state.has_finite_values()),
        lambda: min(state.read_loss_scales().values(), default=1.0),
    )


def _create_evaluate_action(
    config: Config,
    evaluation: Evaluation,
    state: TrainState,
    run_directory: RunDirectory,
    writer: tf.summary.SummaryWriter,
) -> Evaluate:
    best = run_directory.checkpoints / BEST_DIRECTORY
    return Evaluate(
        evaluation,
        state.generator_ema,
        run_directory.metrics,
        writer,
        Checkpoints(best, state, keep=1),
        best / BEST_RECORD,
        _read_best_record(config),
        config.evaluation.collapse_patience,
    )
