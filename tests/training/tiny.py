"""The smallest networks and data for tests of the training code."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.config import (
    Config,
    DataConfig,
    InitializationConfig,
    ModelConfig,
    RegularizationConfig,
    TrainingConfig,
)
from sagan_tf.distribution.strategy import create_strategy
from sagan_tf.training.state import TrainState, create_state
from sagan_tf.training.steps import AlternatingUpdates
from sagan_tf.training.trainer import Trainer
from sagan_tf.training.updates import create_updates

NUM_CLASSES = 3
ADAPTIVE = {"augment": ("color", "translation"), "ada_target": 0.1, "ada_speed_images": 64}
"""Options of adaptive augmentation with a probability that changes early and by much."""
PLAIN_NETWORKS = {"architecture": "dcgan", "attention_resolutions": ()}
"""Options of networks that are traced fast, for tests in which the layers do not matter."""
PLAINEST_NETWORKS = PLAIN_NETWORKS | {"generator_spectral_norm": False, "discriminator_spectral_norm": False}
"""`PLAIN_NETWORKS` without spectral normalization, which takes half the time."""
PLAIN_FLAGS = ("--architecture=dcgan", "--attention_resolutions=")
"""`PLAIN_NETWORKS` as flags."""
PLAINEST_FLAGS = (*PLAIN_FLAGS, "--nogenerator_spectral_norm", "--nodiscriminator_spectral_norm")
"""`PLAINEST_NETWORKS` as flags."""
DATA_FLAGS = ("--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1")
RUN_FLAGS = (*DATA_FLAGS, "--base_channels=2", "--global_batch_size=8", "--strategy=one_device")
"""Flags of a run with small networks."""
NETWORK_OPTIONS = {"latents_to_every_block": True, "latent_dim": 8, "discriminator_minibatch_statistics": 2}
"""Options of networks in which the images of a batch, or parts of the latents, interact."""


def tiny_config(**options: Any) -> Config:
    """Create a configuration with 32 px, 8 and 4 channels, batch 4, attention at 16."""
    defaults = {
        "resolution": 32,
        "image_channels": 1,
        "base_channels": 2,
        "latent_dim": 5,
        "num_classes": NUM_CLASSES,
        "attention_resolutions": (16,),
        "global_batch_size": 4,
        "ema_start_step": 0,
        "steps_per_loop": 2,
    }
    options = defaults | options
    parts = {"model": ModelConfig, "data": DataConfig, "training": TrainingConfig}
    parts |= {"regularization": RegularizationConfig, "initialization": InitializationConfig}

    def select(part: type) -> dict[str, Any]:
        return {field.name: options[field.name] for field in dataclasses.fields(part) if field.name in options}

    return Config(**{name: part(**select(part)) for name, part in parts.items()})


def run_config(run_dir: pathlib.Path, num_steps: int, **options: Any) -> Config:
    """Create the configuration of a run with packaged images on one device."""
    run = {"dataset": "fashion_mnist_10k", "num_classes": 10, "strategy": "one_device", "run_dir": str(run_dir)}
    return tiny_config(**run | {"num_steps": num_steps} | options)


def restore_values(config: Config) -> dict[str, np.ndarray]:
    """Restore the newest checkpoint of a run into a new state; return its variables."""
    state = create_state(config)
    latest = tf.train.latest_checkpoint(str(pathlib.Path(config.training.run_dir) / "checkpoints"))
    tf.train.Checkpoint(state=state).restore(latest).assert_consumed()
    return read_all_values(state)


def one_device() -> tf.distribute.Strategy:
    return tf.distribute.OneDeviceStrategy("CPU:0")


def two_replicas() -> tf.distribute.Strategy:
    return create_strategy(TrainingConfig(strategy="mirrored"))


def make_state(config: Config, strategy: tf.distribute.Strategy, optimizer: Any = None) -> TrainState:
    """Create a state with nonzero attention gammas, with Adam or another optimizer."""
    with strategy.scope():
        state = create_state(config)
        for network in (state.generator, state.discriminator, state.generator_ema):
            for variable in network.trainable_variables:
                if variable.name == "gamma":
                    variable.assign(0.5)
        if optimizer is not None:
            state.generator_optimizer, state.discriminator_optimizer = optimizer(), optimizer()
            state.generator_optimizer.build(state.generator.trainable_variables)
            state.discriminator_optimizer.build(state.discriminator.trainable_variables)
    return state


def make_updates(config: Config, optimizer: Any = None) -> AlternatingUpdates:
    return create_updates(config, make_state(config, one_device(), optimizer))


def make_trainer(config: Config, strategy: tf.distribute.Strategy, optimizer: Any = None, position: int = 0) -> Trainer:
    state = make_state(config, strategy, optimizer)
    return Trainer(create_updates(config, state), strategy, make_iterator(config, strategy, position), config.training)


def make_iterator(config: Config, strategy: tf.distribute.Strategy, position: int = 0) -> Iterator[Any]:
    """Create batches of random images that are a function of the position."""

    def create_worker_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        size = context.get_per_replica_batch_size(config.training.global_batch_size)
        dataset = tf.data.Dataset.range(position, 2**40)
        shape = [config.model.resolution, config.model.resolution, config.model.image_channels]
        dataset = dataset.map(
            lambda index: {
                "images": tf.random.stateless_uniform(shape, [7, index], -1.0, 1.0),
                "labels": tf.cast(index % NUM_CLASSES, tf.int32),
                "positions": index,
            }
        )
        return dataset.batch(size, drop_remainder=True)

    return iter(strategy.distribute_datasets_from_function(create_worker_dataset))


def make_real_batch(config: Config) -> tuple[tf.Tensor, tf.Tensor]:
    batch = next(make_iterator(config, one_device()))
    return batch["images"], batch["labels"]


def read_values(network: keras.Model | keras.optimizers.Optimizer) -> dict[str, np.ndarray]:
    """Return every variable of a network or an optimizer, by index and path."""
    return {f"{index} {variable.path}": variable.numpy() for index, variable in enumerate(network.variables)}


def read_all_values(state: TrainState) -> dict[str, np.ndarray]:
    """Return every variable of a state by name."""
    parts = {
        "generator": state.generator,
        "discriminator": state.discriminator,
        "generator_ema": state.generator_ema,
        "generator_optimizer": state.generator_optimizer,
        "discriminator_optimizer": state.discriminator_optimizer,
    }
    found = {f"{name} {path}": value for name, part in parts.items() for path, value in read_values(part).items()}
    adaptive = state.augment_probability
    found |= {variable.name: variable.numpy() for variable in (adaptive.variables if adaptive else ())}
    if state.logit_averages is not None:
        found |= {variable.name: variable.numpy() for variable in state.logit_averages.variables}
    return found | {"step": state.step.numpy(), "data_position": state.data_position.numpy()}


def find_differences(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    """Return the names of the variables that are not bit-identical."""
    assert before.keys() == after.keys()
    return {name for name in before if before[name].tobytes() != after[name].tobytes()}


def run_in_replica(function: Any, *arguments: Any) -> Any:
    """Run a compiled update in replica context on one device."""
    return one_device().run(tf.function(function, autograph=False), arguments)
