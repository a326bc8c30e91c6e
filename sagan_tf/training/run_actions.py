"""The actions of a training run: which ones, in which order, how often."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.config import Config, TrainingConfig
from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.data.sources.source import Source
from sagan_tf.distribution.strategy import is_chief
from sagan_tf.distribution.worker_agreement import largest_of_workers
from sagan_tf.generation.attention_maps import AttentionReader, attended_pictures
from sagan_tf.generation.inference import generate_images
from sagan_tf.generation.latents import fixed_inputs
from sagan_tf.losses import LOSSES
from sagan_tf.networks.architectures import used_classes
from sagan_tf.runs.checkpoints import BEST, BEST_RECORD, Checkpoints
from sagan_tf.runs.metrics_log import drop_evaluations_of
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.schedules import learning_rate_factor
from sagan_tf.training.actions.checkpoint import SaveCheckpoint
from sagan_tf.training.actions.evaluation import Evaluate, Evaluation, read_best
from sagan_tf.training.actions.health import POLICIES, Health, SignWatch, WatchDiscriminator
from sagan_tf.training.actions.inspection import AttentionMaps, Histograms, Profile
from sagan_tf.training.actions.non_finite import CheckFinite
from sagan_tf.training.actions.progress import Progress
from sagan_tf.training.actions.sample_grid import SampleGrid
from sagan_tf.training.actions.scalars import Scalars
from sagan_tf.training.actions.schedule import Action, Every, StepReport
from sagan_tf.training.actions.tensorboard import write_introduction
from sagan_tf.training.call_length import CallLength
from sagan_tf.training.health.overfitting import OverfittingReader
from sagan_tf.training.health.readings import HealthReader, choose_batch
from sagan_tf.training.loop import run_loop
from sagan_tf.training.network_scalars import network_scalars
from sagan_tf.training.state import TrainState
from sagan_tf.training.trainer import Trainer
from sagan_tf.visualization.attention_maps import AttendedPicture

_SAMPLE_COLUMNS = 8
_ATTENDED_PICTURES = 3
_ATTENDED_A_SIDE = 16
"""Locations of which attention maps are looked at: enough to choose the dots among."""


def run_to_the_end(
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
        source: Its training images.
        trainer: Trains.
        run_directory: The directory that it writes.
        checkpoints: The newest checkpoints.
        evaluation: Evaluates the EMA generator; None: nothing does.
        overfitting: Measures how far the discriminator overfits; None: nothing does.
        stop: Ends the run early on a signal, after the step is on record and before it is saved.

    Raises:
        NonFiniteError: A loss or gradient is not finite.
        StoppedBySignal: A signal ended the run.
    """
    training = config.training
    with contextlib.ExitStack() as stack:
        writer = tf.summary.create_file_writer(str(run_directory.tensorboard))
        stack.callback(writer.close)
        write_introduction(writer, config)
        images_per_step = training.global_batch_size * training.discriminator_steps_per_step
        progress = Progress(
            trainer.step, training.num_steps, images_per_step, training.log_every, traces=not trainer.is_traced
        )
        stack.callback(progress.close)
        check = _check_finite(config, trainer.state, checkpoints)
        records = _records(config, source, trainer.state, run_directory, writer)
        health = _health(config, source, trainer, run_directory, writer, checkpoints, overfitting)
        save = Every(training.checkpoint_every, SaveCheckpoint(checkpoints))
        after_saving: list[Action] = []  # an evaluation may take long: what ends it loses no steps
        if evaluation is not None:
            evaluate = _evaluate_action(config, evaluation, trainer.state, run_directory, writer)
            after_saving.append(Every(config.evaluation.evaluate_every, evaluate))
            if evaluation_is_missing(config, trainer.step):
                drop_evaluations_of(run_directory.metrics, trainer.step)
                evaluate(StepReport(trainer.step, 0, {}, 0.0, trainer.step == training.num_steps))
        if training.profile_steps:
            first, last = training.profile_steps
            profile = Profile(str(run_directory.tensorboard), first, last, trainer.step)
            stack.callback(profile.close)
            after_saving.append(profile)
        run_loop(
            trainer,
            [check, progress, *records, *health, stop, save, *after_saving],
            num_steps=training.num_steps,
            interval=training.steps_per_loop,
            call_length=CallLength(training.steps_per_loop, largest_of_workers(trainer.strategy)),
            between=[check, progress, stop],
        )


def evaluation_is_missing(config: Config, step: int) -> bool:
    """Return whether the run ended after it had saved a step and before it had evaluated it."""
    every, num_steps = config.evaluation.evaluate_every, config.training.num_steps
    if not every or not 0 < step <= num_steps or (step % every and step != num_steps):
        return False
    kept = _read_best(config)
    return bool(kept.get("last_step", step if kept else 0) < step)


def _shared_best(config: Config) -> pathlib.Path:
    """Return the directory that every worker reads, so that all agree on what is best."""
    return RunDirectory(config.training.run_dir).checkpoints / BEST


def _read_best(config: Config) -> dict[str, Any]:
    return read_best(_shared_best(config) / BEST_RECORD, config.training.precision)


def _check_finite(config: Config, state: TrainState, checkpoints: Checkpoints) -> CheckFinite:
    return CheckFinite(
        checkpoints,
        RunDirectory(config.training.run_dir).checkpoints,
        lambda: bool(state.all_finite()),
        lambda: min(state.loss_scales().values(), default=1.0),
    )


def _evaluate_action(
    config: Config,
    evaluation: Evaluation,
    state: TrainState,
    run_directory: RunDirectory,
    writer: tf.summary.SummaryWriter,
) -> Evaluate:
    best = run_directory.checkpoints / BEST
    return Evaluate(
        evaluation,
        state.generator_ema,
        run_directory.metrics,
        writer,
        Checkpoints(best, state, keep=1),
        best / BEST_RECORD,
        _read_best(config),
        config.evaluation.collapse_patience,
    )


def _records(
    config: Config,
    source: Source,
    state: TrainState,
    run_directory: RunDirectory,
    writer: tf.summary.SummaryWriter,
) -> list[Action]:
    """Create the actions that write scalars, images and histograms."""
    training, read_networks = config.training, network_scalars(state)

    def read_rollbacks() -> dict[str, float]:
        rollbacks = int(state.rollbacks.numpy())
        return {"rollbacks": rollbacks} if rollbacks or training.on_non_finite == "rollback" else {}

    def read_probability() -> dict[str, float]:
        adaptive = state.augment_probability
        return {"augment_probability": float(adaptive.probability.numpy())} if adaptive else {}

    scalars = Scalars(
        run_directory.metrics,
        writer,
        every=training.log_every,
        images_per_step=training.global_batch_size * training.discriminator_steps_per_step,
        step=int(state.step.numpy()),
        extra=lambda: (
            _learning_rates(training, state)
            | state.loss_scales()
            | read_rollbacks()
            | read_probability()
            | read_networks()
        ),
    )
    pictures = [Every(training.sample_every, one) for one in _pictures(config, source, state, run_directory, writer)]
    if training.histogram_every:
        histograms = Histograms(writer, [state.generator, state.discriminator])
        pictures.append(Every(training.histogram_every, histograms))
    return [scalars, *pictures]


def _health(
    config: Config,
    source: Source,
    trainer: Trainer,
    run_directory: RunDirectory,
    writer: tf.summary.SummaryWriter,
    checkpoints: Checkpoints,
    overfitting: OverfittingReader | None,
) -> list[Action]:
    """Create the actions that watch the health of the run."""
    training, shared = config.training, RunDirectory(config.training.run_dir).checkpoints
    watch = SignWatch(POLICIES[training.on_unhealthy], lambda: str(shared / pathlib.Path(checkpoints.save()).name))
    discriminator = WatchDiscriminator(watch, checkpoints, shared)
    # One worker reads for all, unless each of them has to know whether it stops.
    if not training.health_interval or not (is_chief(trainer.strategy) or training.on_unhealthy == "stop"):
        return [discriminator]
    batch = choose_batch(
        source, num_classes=used_classes(config.model), latent_dim=config.model.latent_dim, seed=training.seed
    )
    reader = HealthReader(trainer.state, batch, LOSSES[training.loss])
    health = Health([reader, overfitting] if overfitting else [reader], watch, run_directory.metrics, writer)
    return [discriminator, Every(training.health_interval, health)]


def _learning_rates(training: TrainingConfig, state: TrainState) -> dict[str, float]:
    """Return the learning rates of the last step."""
    factor = float(learning_rate_factor(training, state.step - 1))
    return {
        "generator_learning_rate": factor * training.generator_learning_rate,
        "discriminator_learning_rate": factor * training.discriminator_learning_rate,
    }


def _pictures(
    config: Config,
    source: Source,
    state: TrainState,
    run_directory: RunDirectory,
    writer: tf.summary.SummaryWriter,
) -> list[Action]:
    """Create the actions for sample grids, and for attention maps of the first image of some rows."""
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

    grid = SampleGrid(run_directory.samples, writer, draw, _SAMPLE_COLUMNS, row_names)
    return [grid, AttentionMaps(writer, look)] if reader.sizes else [grid]
