"""Both updates of a run, each as a StableHLO module."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.layers.accelerators import assume_device
from sagan_tf.training.gradients import Metrics
from sagan_tf.training.state import TrainState
from sagan_tf.training.updates import create_updates


def lower_updates(config: Config, state: TrainState) -> dict[str, str]:
    """Lower both updates of one replica to StableHLO.

    The parameters of a module are images, float32 [batch, R, R, C]; labels, int32 [batch]; the number of the draw,
    int64; and variables, without their values. Its results are the metrics, float32 [metrics], and variables. Layers
    have their forms for a TPU.

    Args:
        config: Configuration of the run, with its number of classes; `global_batch_size` is the batch of the replica.
        state: State of the run.

    Returns:
        The text of the modules `discriminator` and `generator`.

    Raises:
        UserError: XLA cannot compile an update of this configuration.
    """
    updates = create_updates(config, state)
    batch, size = config.training.global_batch_size, config.model.resolution
    specs = (
        tf.TensorSpec([batch, size, size, config.model.image_channels]),
        tf.TensorSpec([batch], tf.int32),
        tf.TensorSpec([], tf.int64),
    )
    return {
        "discriminator": _lower_update(updates.discriminator_step, updates.discriminator_metrics, specs),
        "generator": _lower_update(updates.generator_step, updates.generator_metrics, specs),
    }


def _lower_update(step: Callable[..., Metrics], names: Sequence[str], specs: tuple[tf.TensorSpec, ...]) -> str:
    def run(images: tf.Tensor, labels: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
        metrics = step(images, labels, draw)
        return tf.stack([metrics[name] for name in names])

    function = tf.function(run, jit_compile=True, autograph=False)
    try:
        with assume_device("TPU"):
            return str(function.experimental_get_compiler_ir(*specs)(stage="stablehlo"))
    except (ValueError, tf.errors.OpError) as error:
        raise UserError(f"XLA cannot compile an update of this configuration: {str(error).splitlines()[0]}") from error
