"""The actions that monitor a training run: scalars, images, histograms and health."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from sagan_tf.config import Config, TrainingConfig
from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.data.sources.source import Source
from sagan_tf.distribution.worker_agreement import create_worker_maximum, run_on_chief
from sagan_tf.generation.attention_maps import AttentionReader, compute_image_attention
from sagan_tf.generation.inference import generate_images
from sagan_tf.generation.latents import make_fixed_inputs
from sagan_tf.losses import LOSSES
from sagan_tf.networks.architectures import count_used_classes
from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.schedules import compute_learning_rate_factor
from sagan_tf.training.actions.health import POLICIES, DiscriminatorMonitor, HealthMonitor, SignMonitor
from sagan_tf.training.actions.inspection import AttentionMaps, Histograms
from sagan_tf.training.actions.sample_grid import SampleGrid
from sagan_tf.training.actions.scalars import Scalars
from sagan_tf.training.actions.schedule import Action, Every
from sagan_tf.training.adaptive_augmentation import create_training_augmentation
from sagan_tf.training.health.overfitting import OverfittingReader
from sagan_tf.training.health.readings import HealthReader, choose_fixed_batch
from sagan_tf.training.network_scalars import create_scalar_reader
from sagan_tf.training.state import TrainState
from sagan_tf.training.trainer import Trainer
from sagan_tf.visualization.attention_maps import ImageAttention

_SAMPLE_COLUMNS = 8
_MAX_ATTENTION_IMAGES = 3
_MAX_ATTENTION_QUERIES_PER_SIDE = 16
"""Largest number of queries per side of a feature map; the queries that are shown are chosen from these."""


def create_record_actions(
    config: Config, source: Source, state: TrainState, run_directory: RunDirectory, writer: tf.summary.SummaryWriter
) -> list[Action]:
    """Create the actions that write scalars, images and histograms.

    Args:
        config: The run.
        source: The training images, for the class names.
        state: The state of the run.
        run_directory: The directory that this worker writes.
        writer: The TensorBoard writer.
    """
    training = config.training
    scalars = Scalars(
        run_directory.metrics,
        writer,
        every=training.log_every,
        images_per_step=training.global_batch_size * training.discriminator_steps_per_step,
        step=int(state.step.numpy()),
        read_extra=_create_extra_reader(training, state),
    )
    images = [
        Every(training.sample_every, action)
        for action in _create_image_actions(config, source, state, run_directory, writer)
    ]
    if training.histogram_every:
        histograms = Histograms(writer, [state.generator, state.discriminator])
        images.append(Every(training.histogram_every, histograms))
    return [scalars, *images]


def create_health_actions(
    config: Config,
    source: Source,
    trainer: Trainer,
    run_directory: RunDirectory,
    writer: tf.summary.SummaryWriter,
    checkpoints: Checkpoints,
    overfitting: OverfittingReader | None,
) -> list[Action]:
    """Create the actions that monitor the health of the run.

    Args:
        config: The run.
        source: The training images.
        trainer: The trainer.
        run_directory: The directory that this worker writes.
        writer: The TensorBoard writer.
        checkpoints: The newest checkpoints.
        overfitting: The reader of the overfitting scalars; None if there are no held-out images, and on all workers but
            the chief.
    """
    training, shared = config.training, RunDirectory(config.training.run_dir).checkpoints
    monitor = SignMonitor(POLICIES[training.on_unhealthy], lambda: str(shared / pathlib.Path(checkpoints.save()).name))
    discriminator = DiscriminatorMonitor(monitor, checkpoints, shared)
    if not training.health_interval:
        return [discriminator]
    # Only the chief reads. The other workers take part if they have to know whether it stops.
    reader = run_on_chief(trainer.strategy, lambda: _create_health_reader(config, source, trainer.state))
    workers_stop = training.on_unhealthy == "stop"
    if not (reader or workers_stop):
        return [discriminator]
    readers = [read for read in (reader, overfitting) if read]
    compute_maximum = create_worker_maximum(trainer.strategy) if workers_stop else float
    health = HealthMonitor(readers, monitor, run_directory.metrics, writer, compute_maximum)
    return [discriminator, Every(training.health_interval, health)]


def _create_health_reader(config: Config, source: Source, state: TrainState) -> HealthReader:
    training, model = config.training, config.model
    batch = choose_fixed_batch(
        source, num_classes=count_used_classes(model), latent_dim=model.latent_dim, seed=training.seed
    )
    augmentation = create_training_augmentation(training.augment, state.augment_probability)
    return HealthReader(state, batch, LOSSES[training.loss], augmentation=augmentation, seed=training.seed)


def _create_extra_reader(training: TrainingConfig, state: TrainState) -> Callable[[], dict[str, float]]:
    """Create a function that reads the scalars beside the training metrics."""
    read_networks = create_scalar_reader(state)

    def read_rollbacks() -> dict[str, float]:
        rollbacks = int(state.rollbacks.numpy())
        return {"rollbacks": rollbacks} if rollbacks or training.on_non_finite == "rollback" else {}

    def read_probability() -> dict[str, float]:
        adaptive = state.augment_probability
        return {"augment_probability": float(adaptive.probability.numpy())} if adaptive else {}

    return lambda: (
        _compute_learning_rates(training, state)
        | state.read_loss_scales()
        | read_rollbacks()
        | read_probability()
        | read_networks()
    )


def _compute_learning_rates(training: TrainingConfig, state: TrainState) -> dict[str, float]:
    """Return the learning rates of the last step."""
    factor = float(compute_learning_rate_factor(training, state.step - 1))
    return {
        "generator_learning_rate": factor * training.generator_learning_rate,
        "discriminator_learning_rate": factor * training.discriminator_learning_rate,
    }


def _create_image_actions(
    config: Config, source: Source, state: TrainState, run_directory: RunDirectory, writer: tf.summary.SummaryWriter
) -> list[Action]:
    """Create the actions for sample grids and attention maps.

    The attention maps are of the first image of the first rows.
    """
    inputs = make_fixed_inputs(
        config.model.latent_dim, config.model.num_classes, _SAMPLE_COLUMNS, seed=config.training.seed
    )
    rows = inputs[1].numpy()[::_SAMPLE_COLUMNS] if config.model.num_classes else []
    row_names = [source.class_names[label] for label in rows]
    # Created once: a new Keras model for each reading would take seconds, and memory that is freed late.
    reader = AttentionReader(state.generator_ema)

    def generate() -> np.ndarray:
        return generate_images(state.generator_ema, *inputs)

    def compute_attention() -> list[ImageAttention]:
        first = [values[::_SAMPLE_COLUMNS][:_MAX_ATTENTION_IMAGES] for values in inputs]
        images = to_uint8(generate_images(state.generator_ema, *first)).numpy()
        names = row_names or [""] * len(images)
        return compute_image_attention(reader, first, images, names, _MAX_ATTENTION_QUERIES_PER_SIDE)

    grid = SampleGrid(run_directory.samples, writer, generate, _SAMPLE_COLUMNS, row_names)
    return [grid, AttentionMaps(writer, compute_attention)] if reader.sizes else [grid]
