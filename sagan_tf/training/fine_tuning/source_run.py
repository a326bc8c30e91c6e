"""The trained run whose weights a new run starts with."""

from __future__ import annotations

import os

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.networks.architectures import count_used_classes
from sagan_tf.runs.load_networks import find_checkpoint, load_networks, split_checkpoint_path
from sagan_tf.runs.run_directory import RunDirectory, open_run
from sagan_tf.training.fine_tuning.weight_source import CHECKPOINT, WeightSource, read_values


def check_source_differs(init_from: str, run_directory: RunDirectory) -> None:
    """Raise UserError if a run would start with its own weights."""
    source, _ = split_checkpoint_path(init_from)
    # Not `pathlib.Path.resolve`, which raises RuntimeError for a loop of links.
    if init_from and os.path.realpath(source) == os.path.realpath(run_directory.path):
        raise UserError(
            f"init_from: {init_from} is the run in --run_dir itself; to start a new run with its weights, choose "
            "another --run_dir; to resume it, use its own flags"
        )


def open_source_run(init_from: str) -> WeightSource:
    """Read the weights of a trained run.

    Args:
        init_from: The run directory, for the newest checkpoint, or the path of a checkpoint.

    Returns:
        The weights.

    Raises:
        UserError: It is not a run or a checkpoint, or the checkpoint is damaged or not finite.
    """
    run_dir, checkpoint = split_checkpoint_path(init_from)
    if not os.path.isfile(run_dir / "flags.cfg"):
        raise UserError(
            "init_from: expected the directory of a run, a checkpoint such as RUN/checkpoints/step-100, or an export "
            f"such as RUN/exports/100, received {init_from}, which has neither flags.cfg nor saved_model.pb"
        )
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
    return WeightSource(
        kind=CHECKPOINT,
        path=os.path.abspath(prefix),
        step=step,
        model=config.model,
        num_classes=num_classes,
        class_names=directory.read_class_names(num_classes) if num_classes else (),
        networks={name: read_values(network, init_from) for name, network in networks.items()},
    )
