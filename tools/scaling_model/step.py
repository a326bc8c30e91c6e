"""Work of a training step, counted in the networks and graphs that training builds."""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.layers import SelfAttention2D
from sagan_tf.layers.accelerators import assume_device
from sagan_tf.training.ema import move_average
from sagan_tf.training.state import TrainState
from sagan_tf.training.updates import create_updates
from tools.scaling_model.work import BatchWork, Work, count_graph_work


@dataclasses.dataclass(frozen=True)
class NetworkSizes:
    """Sizes of what the replicas share.

    Attributes:
        generator_variables, discriminator_variables: Number of parameters of each trained variable, in the order in
            which the optimizer takes them.
        normalizations: Number of batch normalizations of the generator; the discriminator has none.
        normalized_channels: Total number of their channels.
    """

    generator_variables: tuple[int, ...]
    discriminator_variables: tuple[int, ...]
    normalizations: int
    normalized_channels: int

    @property
    def generator(self) -> int:
        """Number of parameters of the generator."""
        return sum(self.generator_variables)

    @property
    def discriminator(self) -> int:
        """Number of parameters of the discriminator."""
        return sum(self.discriminator_variables)


@dataclasses.dataclass(frozen=True)
class Step:
    """Work of a replica in a step.

    Attributes:
        discriminator_update, generator_update: Work of one update, by the number of images of a replica.
        averaging: Work of updating the EMA generator.
        discriminator_updates: Updates of the discriminator in a step.
    """

    discriminator_update: BatchWork
    generator_update: BatchWork
    averaging: BatchWork
    discriminator_updates: int

    @property
    def work(self) -> BatchWork:
        """Work of a replica in a whole step, by its number of images."""
        return self.discriminator_update.scale(self.discriminator_updates) + self.generator_update + self.averaging


def count_network_sizes(state: TrainState) -> NetworkSizes:
    """Count the parameters and normalizations of a run's networks."""
    moving_means = [variable for variable in state.generator.non_trainable_variables if variable.name == "moving_mean"]
    return NetworkSizes(
        generator_variables=_count_variable_sizes(state.generator),
        discriminator_variables=_count_variable_sizes(state.discriminator),
        normalizations=len(moving_means),
        normalized_channels=sum(variable.shape[0] for variable in moving_means),
    )


def _count_variable_sizes(network: keras.Model) -> tuple[int, ...]:
    return tuple(variable.value.shape.num_elements() for variable in network.trainable_variables)


def measure_step(config: Config, state: TrainState) -> Step:
    """Trace the updates of a configuration, with layers in their forms for a GPU.

    Nothing is computed. Attention that computes its map in blocks counts as if it did not; in blocks it computes its
    map once more.

    Args:
        config: Configuration of the run.
        state: State of the run; its attention layers no longer work in blocks afterwards.

    Returns:
        The work of a replica.
    """
    for network in (state.generator, state.discriminator):
        for layer in network.layers:
            if isinstance(layer, SelfAttention2D):
                layer.blockwise = False  # only one iteration of a loop could be counted
    min_images = config.training.gradient_accumulation_steps
    (discriminator, generator), (larger_discriminator, larger_generator) = (
        _trace_updates(config, state, images) for images in (min_images, 2 * min_images)
    )
    return Step(
        discriminator_update=BatchWork.fit_line(min_images, discriminator, 2 * min_images, larger_discriminator),
        generator_update=BatchWork.fit_line(min_images, generator, 2 * min_images, larger_generator),
        averaging=BatchWork(fixed=count_graph_work(_trace_averaging(state.generator_ema, state.generator))),
        discriminator_updates=config.training.discriminator_steps_per_step,
    )


def _trace_updates(config: Config, state: TrainState, images: int) -> tuple[Work, Work]:
    """Return the work of both updates on one replica with `images` images."""
    training = dataclasses.replace(config.training, global_batch_size=images)
    updates = create_updates(dataclasses.replace(config, training=training), state)
    size = config.model.resolution
    real_images = tf.TensorSpec([images, size, size, config.model.image_channels])
    labels, draw = tf.TensorSpec([images], tf.int32), tf.TensorSpec([], tf.int64)
    # Training compiles them without AutoGraph, too.
    discriminator_step = tf.function(updates.discriminator_step, autograph=False)
    generator_step = tf.function(updates.generator_step, autograph=False)
    with assume_device("GPU"):
        graphs = [
            step.get_concrete_function(real_images, labels, draw).graph for step in (discriminator_step, generator_step)
        ]
    discriminator, generator = map(count_graph_work, graphs)
    return discriminator, generator


def _trace_averaging(averaged: keras.Model, network: keras.Model) -> tf.Graph:
    move = tf.function(lambda decay: move_average(averaged.variables, network.variables, decay), autograph=False)
    return move.get_concrete_function(tf.TensorSpec([])).graph
