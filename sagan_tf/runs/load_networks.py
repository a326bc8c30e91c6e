"""Networks of a run, built from its configuration and restored from one of its checkpoints."""

from __future__ import annotations

import os
import pathlib
import re

import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.keras_backend import keras
from sagan_tf.networks import build_discriminator, build_generator
from sagan_tf.runs.checkpoints import BEST_DIRECTORY, explain_restore_errors, find_newest_checkpoint


def load_generator(
    config: Config, directory: pathlib.Path, checkpoint: str = "latest", *, use_ema: bool = True
) -> tuple[keras.Model, int]:
    """Build a run's generator and restore it from a checkpoint.

    Args:
        config: Configuration of the run.
        directory: The run's directory of checkpoints.
        checkpoint: `latest`, `best` (by the first metric of evaluations during training) or a step.
        use_ema: Whether to load the EMA generator or the trained generator.

    Returns:
        The generator and the step of the checkpoint.

    Raises:
        UserError: The checkpoint does not exist, is damaged, or belongs to another configuration.
    """
    generator = build_generator(config.model)
    step = _restore_network(
        generator, "generator_ema" if use_ema else "generator", find_checkpoint(directory, checkpoint)
    )
    return generator, step


def load_discriminator(config: Config, directory: pathlib.Path, checkpoint: str = "latest") -> keras.Model:
    """Build and restore a run's discriminator; see `load_generator`."""
    discriminator = build_discriminator(config.model)
    _restore_network(discriminator, "discriminator", find_checkpoint(directory, checkpoint))
    return discriminator


def load_networks(config: Config, prefix: str) -> tuple[dict[str, keras.Model], int]:
    """Build all networks of a run and restore them from one checkpoint.

    Args:
        config: Configuration of the run.
        prefix: Path prefix of the checkpoint, from `find_checkpoint`.

    Returns:
        The networks by name, `generator`, `generator_ema` and `discriminator`, and the step of the checkpoint.

    Raises:
        UserError: The checkpoint is damaged, or belongs to another configuration.
    """
    step = 0
    networks = {
        "generator": build_generator(config.model),
        "generator_ema": build_generator(config.model),
        "discriminator": build_discriminator(config.model),
    }
    for name, network in networks.items():
        step = _restore_network(network, name, prefix)
    return networks, step


def _restore_network(network: keras.Model, name: str, prefix: str) -> int:
    """Restore a network from the part `name` of a checkpoint and return the step."""
    step = tf.Variable(0, dtype=tf.int64)
    with explain_restore_errors(prefix) as path:
        part = tf.train.Checkpoint(**{name: network, "step": step})
        restored = tf.train.Checkpoint(state=part).restore(path)
        restored.expect_partial().assert_existing_objects_matched()
    return int(step.numpy())


def split_checkpoint_path(path: str | os.PathLike[str]) -> tuple[pathlib.Path, str | None]:
    """Split the path of a run or of one of its checkpoints.

    Args:
        path: A run directory, or the path of a checkpoint: `RUN/checkpoints/step-100` or `RUN/checkpoints/best`.

    Returns:
        The run directory, and the checkpoint for `find_checkpoint`; None if `path` does not name one.

    Examples:
        >>> split_checkpoint_path("runs/a/checkpoints/step-100")
        (PosixPath('runs/a'), '100')
    """
    place = pathlib.Path(os.path.expanduser(path))  # pathlib raises RuntimeError for an unknown user
    if match := re.fullmatch(r"step-(\d+)(?:\.index)?", place.name, re.ASCII):
        is_best = place.parent.name == BEST_DIRECTORY
        directory = place.parent.parent if is_best else place.parent
        if directory.name == "checkpoints":
            return directory.parent, f"{BEST_DIRECTORY}/{match[1]}" if is_best else match[1]
    if (place.parent.name, place.name) == ("checkpoints", BEST_DIRECTORY):
        return place.parent.parent, BEST_DIRECTORY
    return place, None


def find_checkpoint(directory: pathlib.Path, checkpoint: str) -> str:
    """Find the path prefix of a checkpoint.

    Args:
        directory: The run's directory of checkpoints.
        checkpoint: `latest`, `best`, a step, or `best/STEP` for this step among the best checkpoints only.

    Returns:
        Path prefix of the checkpoint's files.

    Raises:
        UserError: The checkpoint does not exist.
    """
    if checkpoint == "latest":
        found = find_newest_checkpoint(directory)
    elif checkpoint == BEST_DIRECTORY:
        found = find_newest_checkpoint(directory / BEST_DIRECTORY)
    else:
        places = [directory, directory / BEST_DIRECTORY]
        if checkpoint.startswith(f"{BEST_DIRECTORY}/"):
            directory, checkpoint = places[1], checkpoint.removeprefix(f"{BEST_DIRECTORY}/")
            places = [directory]
        prefixes = [place / f"step-{int(checkpoint)}" for place in places]
        found = next((str(prefix) for prefix in prefixes if prefix.with_name(f"{prefix.name}.index").exists()), None)
    if found is None:
        raise UserError(_describe_missing_checkpoint(directory, checkpoint))
    return found


def _describe_missing_checkpoint(directory: pathlib.Path, checkpoint: str) -> str:
    """Return the message for a checkpoint that does not exist, with the steps that do."""
    steps = sorted(int(path.stem.partition("-")[2]) for path in directory.glob("step-*.index"))
    names = {"latest": "checkpoint", BEST_DIRECTORY: "best checkpoint"}
    wanted = names.get(checkpoint, f"checkpoint of step {checkpoint}")
    hint = "; training with --evaluate_every keeps one" if checkpoint == BEST_DIRECTORY else ""
    available = f"; available steps: {', '.join(map(str, steps))}" if steps else ""
    return f"checkpoint: there is no {wanted} in {directory}{hint}{available}"
