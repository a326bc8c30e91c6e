"""The state of a run, which is the content of a checkpoint."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator

import tensorflow as tf

from sagan_tf.config import Config, TrainingConfig
from sagan_tf.environment.keras_settings import keras_defaults
from sagan_tf.keras_backend import keras
from sagan_tf.networks import build_discriminator, build_generator
from sagan_tf.regularization import LogitAverages
from sagan_tf.schedules import create_learning_rate
from sagan_tf.training.adam import Adam
from sagan_tf.training.adaptive_augmentation import AdaptiveProbability
from sagan_tf.training.ema import copy_variables
from sagan_tf.training.fine_tuning.frozen_blocks import freeze_lowest_blocks


class TrainState(tf.Module):
    """Networks, optimizers and counters of a run.

    Attributes:
        generator, discriminator: The networks that are trained.
        generator_ema: The EMA generator. It computes in float32 in every precision, as it does after the run, when it
            is sampled, evaluated and exported.
        generator_optimizer, discriminator_optimizer: Their optimizers, with all slots created.
        step: int64 scalar, the number of generator updates done.
        logit_averages: Averages of the real and fake logits for LeCam; None without LeCam, and then not in checkpoints.
        data_position: int64 scalar, the position of the run in its order of the training images.
        rollbacks: int64 scalar, the number of rollbacks to a checkpoint, each to go on with other latents and images.
        augment_probability: The probability of adaptive augmentation; None without it.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        generator_ema: keras.Model,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer,
        step: tf.Variable,
        augment_probability: AdaptiveProbability | None = None,
        logit_averages: LogitAverages | None = None,
    ) -> None:
        super().__init__(name="train_state")
        self.generator = generator
        self.discriminator = discriminator
        self.generator_ema = generator_ema
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.step = step
        self.logit_averages = logit_averages
        self.data_position = _create_counter("data_position")
        self.rollbacks = _create_counter("rollbacks")
        self.augment_probability = augment_probability

    @tf.function(autograph=False)
    def has_finite_values(self) -> tf.Tensor:
        """Return whether all weights and optimizer variables are finite: bool scalar."""
        networks = self.generator, self.discriminator, self.generator_ema
        parts = (*networks, self.generator_optimizer, self.discriminator_optimizer, self.logit_averages)
        values = [tf.convert_to_tensor(variable) for part in parts if part for variable in part.variables]
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in values if value.dtype.is_floating])

    def read_loss_scales(self) -> dict[str, float]:
        """Return the loss scales by name; only mixed_float16 has loss scales."""
        optimizers = {"generator": self.generator_optimizer, "discriminator": self.discriminator_optimizer}
        return {
            f"{name}_loss_scale": float(optimizer.dynamic_scale.numpy())
            for name, optimizer in optimizers.items()
            if isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        }


def create_state(config: Config) -> TrainState:
    """Create the networks and optimizers of a run.

    The weights depend only on the seed of the run. Call it inside the strategy's scope.

    Args:
        config: The run.
    """
    with _seeded_initializers(config.training.seed):
        return _create_state(config)


@contextlib.contextmanager
def _seeded_initializers(seed: int) -> Iterator[None]:
    """Seed the random numbers of Keras' initializers.

    They use Python's random generator; its state is restored afterwards.
    """
    caller_state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(caller_state)


def _create_state(config: Config) -> TrainState:
    precision = config.training.precision
    generator = build_generator(config.model, dtype_policy=precision)
    discriminator = build_discriminator(config.model, dtype_policy=precision)
    freeze_lowest_blocks(discriminator, config.initialization.freeze_discriminator)
    generator_ema = build_generator(config.model, dtype_policy="float32")
    copy_variables(generator.variables, generator_ema.variables)
    step = _create_counter("step")
    training, regularization = config.training, config.regularization
    generator_optimizer = create_optimizer(
        training, create_learning_rate(training, training.generator_learning_rate, step)
    )
    discriminator_optimizer = create_optimizer(
        training, create_learning_rate(training, training.discriminator_learning_rate, step)
    )
    # Slots are created now, because a checkpoint is restored before the first update.
    generator_optimizer.build(generator.trainable_variables)
    discriminator_optimizer.build(discriminator.trainable_variables)
    return TrainState(
        generator,
        discriminator,
        generator_ema,
        generator_optimizer,
        discriminator_optimizer,
        step,
        augment_probability=AdaptiveProbability(training) if training.ada_target else None,
        logit_averages=LogitAverages(regularization.lecam_decay) if regularization.lecam_weight else None,
    )


@keras_defaults()
def create_optimizer(
    config: TrainingConfig, learning_rate: float | Callable[[], tf.Tensor]
) -> keras.optimizers.Optimizer:
    """Create Adam, with dynamic loss scaling for mixed_float16."""
    # With names, because Keras numbers the default names of the optimizers of a process.
    adam = Adam(learning_rate, config.adam_beta1, config.adam_beta2, config.adam_epsilon, name="adam")
    return keras.optimizers.LossScaleOptimizer(adam, name="loss_scale") if config.precision == "mixed_float16" else adam


def _create_counter(name: str) -> tf.Variable:
    aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return tf.Variable(0, dtype=tf.int64, trainable=False, aggregation=aggregation, name=name)
