"""Several training steps as one XLA program."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.data.images.preprocessing import scale_to_unit_range
from sagan_tf.errors import UserError
from sagan_tf.layers.accelerators import assume_device
from sagan_tf.training.state import TrainState
from sagan_tf.training.trainer import Trainer
from sagan_tf.training.updates import create_updates
from tools.lowering.variables import list_variables


@dataclasses.dataclass(frozen=True)
class Program:
    """XLA program and the description of its parameters.

    The parameters of the program are images, uint8 [images, R, R, C]; labels, int32 [images]; rows, int32, and flips,
    bool, both [steps, discriminator updates, batch]; and then variables, in the order of `inputs`. It returns the means
    of the training metrics. Each variable that it changes is an output that is aliased with its parameter.

    Attributes:
        module: Serialized `HloModuleProto`.
        inputs: Index in `list_variables` of each parameter after the first four.
        metrics: Names of the metrics.
        rows_shape: (steps, discriminator updates, batch).
    """

    module: bytes
    inputs: tuple[int, ...]
    metrics: tuple[str, ...]
    rows_shape: tuple[int, int, int]


def lower_training_steps(config: Config, state: TrainState, num_images: int, num_steps: int) -> Program:
    """Lower training steps on one replica, with all images in memory.

    Layers have their forms for a TPU. These suit a GPU too, since XLA compiles the whole program.

    Args:
        config: Configuration of the run, with its number of classes.
        state: State of the run. The program is made for variables of these shapes, and holds none of their values.
        num_images: Number of images of the data set.
        num_steps: Steps of one call of the program.

    Returns:
        The program.

    Raises:
        UserError: XLA cannot compile a step of this configuration.
    """
    trainer = create_trainer(config, state)
    shape = num_steps, config.training.discriminator_steps_per_step, config.training.global_batch_size
    size, channels = config.model.resolution, config.model.image_channels
    specs = (
        tf.TensorSpec([num_images, size, size, channels], tf.uint8),
        tf.TensorSpec([num_images], tf.int32),
        tf.TensorSpec(shape, tf.int32),
        tf.TensorSpec(shape, tf.bool),
    )
    function = create_training_function(trainer)
    try:
        with assume_device("TPU"):
            captured = function.get_concrete_function(*specs).captured_inputs
            module = function.experimental_get_compiler_ir(*specs)(stage="hlo_serialized")
    except (ValueError, tf.errors.OpError) as error:
        raise UserError(
            f"XLA cannot compile a training step of this configuration: {str(error).splitlines()[0]}"
        ) from error
    indices = {id(variable.handle): index for index, variable in enumerate(list_variables(state))}
    return Program(module, tuple(indices[id(handle)] for handle in captured), trainer.metric_names, shape)


def create_trainer(config: Config, state: TrainState) -> Trainer:
    """Create a trainer without images, for `create_training_function`."""
    return Trainer(create_updates(config, state), tf.distribute.get_strategy(), iter(()), config.training)


def create_training_function(trainer: Trainer) -> Any:
    """Return the compiled function (`tf.function`) whose parameters `Program` describes."""

    def run(images: tf.Tensor, labels: tf.Tensor, rows: tf.Tensor, flips: tf.Tensor) -> tf.Tensor:
        num_steps, num_updates, _ = rows.shape
        totals = tf.zeros([len(trainer.metric_names)])
        for step in tf.range(num_steps):
            position = trainer.state.data_position.read_value()
            batches = [
                _create_batch(images, labels, rows[step, update], flips[step, update], position, update)
                for update in range(num_updates)
            ]
            totals += trainer.run_step(iter(batches))
        return totals / num_steps

    return tf.function(run, jit_compile=True)


def _create_batch(
    images: tf.Tensor, labels: tf.Tensor, rows: tf.Tensor, flips: tf.Tensor, position: tf.Tensor, update: int
) -> dict[str, tf.Tensor]:
    chosen, size = scale_to_unit_range(tf.gather(images, rows)), rows.shape[0]
    return {
        "images": tf.where(flips[:, None, None, None], tf.reverse(chosen, [2]), chosen),
        "labels": tf.gather(labels, rows),
        "positions": position + tf.range(update * size, (update + 1) * size, dtype=tf.int64),
    }
