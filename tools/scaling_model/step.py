"""A training step of a configuration, read off the networks and the graphs that training itself builds."""

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
from tools.scaling_model.work import BatchWork, Work, graph_work


@dataclasses.dataclass(frozen=True)
class NetworkSizes:
    """How large is what replicas share.

    Attributes:
        generator_variables, discriminator_variables: the parameters of each trained variable, in the order in which the
            optimizer takes them.
        normalizations: batch normalizations of the generator; the discriminator has none.
        normalized_channels: their channels together.
    """

    generator_variables: tuple[int, ...]
    discriminator_variables: tuple[int, ...]
    normalizations: int
    normalized_channels: int

    @property
    def generator(self) -> int:
        """Parameters of the generator."""
        return sum(self.generator_variables)

    @property
    def discriminator(self) -> int:
        """Parameters of the discriminator."""
        return sum(self.discriminator_variables)


@dataclasses.dataclass(frozen=True)
class Step:
    """What a replica does in a step.

    Attributes:
        discriminator_update, generator_update: by the images of a replica.
        averaging: moving the averaged generator.
        discriminator_updates: in a step.
    """

    discriminator_update: BatchWork
    generator_update: BatchWork
    averaging: BatchWork
    discriminator_updates: int

    @property
    def work(self) -> BatchWork:
        """Of a replica in a whole step, by its images."""
        return self.discriminator_update.times(self.discriminator_updates) + self.generator_update + self.averaging


def network_sizes(state: TrainState) -> NetworkSizes:
    """Count the networks of a run."""
    moving_means = [one for one in state.generator.non_trainable_variables if one.name == "moving_mean"]
    return NetworkSizes(
        generator_variables=_variable_sizes(state.generator),
        discriminator_variables=_variable_sizes(state.discriminator),
        normalizations=len(moving_means),
        normalized_channels=sum(one.shape[0] for one in moving_means),
    )


def _variable_sizes(network: keras.Model) -> tuple[int, ...]:
    return tuple(variable.value.shape.num_elements() for variable in network.trainable_variables)


def measure_step(config: Config, state: TrainState) -> Step:
    """Trace the updates that `config` describes, with the layers in their forms for a GPU; nothing is computed.

    Attention whose map is worked through in blocks counts as if it were not; it computes its map once more.

    Args:
        config: of the run.
        state: its state, whose attention layers then no longer work in blocks.
    """
    for network in (state.generator, state.discriminator):
        for layer in network.layers:
            if isinstance(layer, SelfAttention2D):
                layer.blockwise = False  # of a loop, only one turn could be counted
    least = config.training.gradient_accumulation_steps
    (discriminator, generator), (larger_discriminator, larger_generator) = (
        _traced_updates(config, state, images) for images in (least, 2 * least)
    )
    return Step(
        discriminator_update=BatchWork.through(least, discriminator, 2 * least, larger_discriminator),
        generator_update=BatchWork.through(least, generator, 2 * least, larger_generator),
        averaging=BatchWork(fixed=graph_work(_averaging_graph(state.generator_ema, state.generator))),
        discriminator_updates=config.training.discriminator_steps_per_step,
    )


def _traced_updates(config: Config, state: TrainState, images: int) -> tuple[Work, Work]:
    """Return the work of the discriminator's and of the generator's update on one replica that has `images` images."""
    training = dataclasses.replace(config.training, global_batch_size=images)
    updates = create_updates(dataclasses.replace(config, training=training), state)
    size = config.model.resolution
    real_images = tf.TensorSpec([images, size, size, config.model.image_channels])
    labels, draw = tf.TensorSpec([images], tf.int32), tf.TensorSpec([], tf.int64)
    # What training compiles calls them without autograph, too.
    discriminator_step = tf.function(updates.discriminator_step, autograph=False)
    generator_step = tf.function(updates.generator_step, autograph=False)
    with assume_device("GPU"):
        graphs = [
            step.get_concrete_function(real_images, labels, draw).graph for step in (discriminator_step, generator_step)
        ]
    discriminator, generator = map(graph_work, graphs)
    return discriminator, generator


def _averaging_graph(averaged: keras.Model, network: keras.Model) -> tf.Graph:
    move = tf.function(lambda decay: move_average(averaged.variables, network.variables, decay), autograph=False)
    return move.get_concrete_function(tf.TensorSpec([])).graph
