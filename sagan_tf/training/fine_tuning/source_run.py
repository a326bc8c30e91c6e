"""The trained run whose weights a new run starts with."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np
import tensorflow as tf

from sagan_tf.config import ModelConfig
from sagan_tf.errors import UserError
from sagan_tf.keras_backend import keras
from sagan_tf.networks.architectures import count_used_classes
from sagan_tf.runs.load_networks import find_checkpoint, load_networks, split_checkpoint_path
from sagan_tf.runs.run_directory import RunDirectory, open_run
from sagan_tf.serving.contract import MODEL_CARD

Values = dict[str, np.ndarray]
"""The variables of a network by path, such as `block_1/normalization_1/gain`."""


@dataclasses.dataclass(frozen=True)
class SourceRun:
    """The weights of a trained run.

    Attributes:
        checkpoint: The absolute path prefix of the checkpoint.
        step: The step of the checkpoint.
        model: The options of the networks.
        num_classes: The number of classes; 0 for networks without classes.
        class_names: The names of the classes; empty if they are not known.
        networks: The variables of `generator`, `generator_ema` and `discriminator`.
    """

    checkpoint: str
    step: int
    model: ModelConfig
    num_classes: int
    class_names: tuple[str, ...]
    networks: dict[str, Values]


def check_source_differs(init_from: str, run_directory: RunDirectory) -> None:
    """Raise UserError if a run would start with its own weights."""
    source, _ = split_checkpoint_path(init_from)
    # Not `pathlib.Path.resolve`, which raises RuntimeError for a loop of links.
    if init_from and os.path.realpath(source) == os.path.realpath(run_directory.path):
        raise UserError(
            f"init_from: {init_from} is the run in --run_dir itself; to start a new run with its weights, choose "
            "another --run_dir; to resume it, use its own flags"
        )


def open_source_run(init_from: str) -> SourceRun:
    """Read the weights of a trained run.

    Args:
        init_from: The run directory, for the newest checkpoint, or the path of a checkpoint.

    Returns:
        The weights.

    Raises:
        UserError: It is not a run or a checkpoint, or the checkpoint is damaged or not finite.
    """
    run_dir, checkpoint = split_checkpoint_path(init_from)
    _check_is_run(init_from, run_dir)
    try:
        # On the CPU, because the networks of the source and of the run may not fit into the memory of a GPU together.
        with tf.device("CPU:0"):
            directory, config = open_run(run_dir)
            prefix = find_checkpoint(directory.checkpoints, checkpoint or "latest")
            networks, step = load_networks(config, prefix)
    except UserError as error:
        # These functions are made for a run in --run_dir and its --checkpoint.
        problem = str(error).removeprefix("checkpoint: ").removeprefix("run_dir: ").replace("--run_dir", "--init_from")
        raise UserError(f"init_from: {problem}") from error
    num_classes = count_used_classes(config.model)
    return SourceRun(
        checkpoint=os.path.abspath(prefix),
        step=step,
        model=config.model,
        num_classes=num_classes,
        class_names=directory.read_class_names(num_classes) if num_classes else (),
        networks={name: _read_values(network, init_from) for name, network in networks.items()},
    )


def _check_is_run(init_from: str, run_dir: pathlib.Path) -> None:
    if any(os.path.isfile(run_dir / name) for name in ("saved_model.pb", MODEL_CARD)):
        raise UserError(
            f"init_from: {init_from} is an export, from which training cannot continue: its kernels are divided by "
            "sigma, and its batch statistics are part of its gains; pass the run directory or a checkpoint"
        )
    if not os.path.isfile(run_dir / "flags.cfg"):
        raise UserError(
            f"init_from: expected the directory of a run, or a checkpoint such as RUN/checkpoints/step-100, received "
            f"{init_from}, which has no flags.cfg"
        )


def _read_values(network: keras.Model, init_from: str) -> Values:
    values = {variable.path: variable.numpy() for variable in network.variables}
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise UserError(
                f"init_from: {name} of the {network.name} in {init_from} has values that are not finite (NaN or "
                "infinity); choose an earlier checkpoint"
            )
    return values
