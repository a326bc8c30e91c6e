"""A run directory whose networks have random weights, in place of a trained run."""

import pathlib
from typing import Any

import numpy as np

from sagan_tf.config import Config
from sagan_tf.runs.checkpoints import BEST_DIRECTORY, Checkpoints
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.training.state import TrainState, create_state
from tests.training.tiny import NUM_CLASSES, PLAIN_NETWORKS, tiny_config

CLASS_NAMES = ("bird", "cat", "dog")


def write_run(path: pathlib.Path, class_names: tuple[str, ...] = CLASS_NAMES, **options: Any) -> TrainState:
    """Write a run with checkpoints of steps 2 and 4, of which 2 is the best; return its state at step 4."""
    options = PLAIN_NETWORKS | {"num_classes": NUM_CLASSES} | options
    config = tiny_config(seed=5, run_dir=str(path), **options)
    directory, state = RunDirectory(path), create_state(config)
    directory.create()
    directory.write_records(config.to_flagfile())
    histogram = dict.fromkeys(class_names, 4)
    directory.write_json(directory.startup, {"data": {"num_examples": 12, "label_histogram": histogram}})
    for step in (2, 4):
        randomize(state, seed=step)
        state.step.assign(step)
        Checkpoints(directory.checkpoints, state, keep=3).save()
        if step == 2:
            Checkpoints(directory.checkpoints / BEST_DIRECTORY, state, keep=1).save()
    return state


def randomize(state: TrainState, seed: int) -> None:
    """Assign random values to all variables of the networks."""
    random = np.random.default_rng(seed)
    for network in (state.generator, state.generator_ema, state.discriminator):
        for variable in network.variables:
            values = random.normal(0.0, 0.3, variable.shape)
            variable.assign((np.exp(values) if variable.name == "moving_variance" else values).astype(np.float32))


def fine_tune_config(source: pathlib.Path | str, **options: Any) -> Config:
    """Create the configuration of a run that starts with the weights of `write_run`."""
    return tiny_config(**PLAIN_NETWORKS | {"init_from": str(source)} | options)
