"""The Python interface: train, evaluate, sample, export, and read data and metrics, without a command line.

TensorFlow is imported by the first call. Logs are shown on standard output if the program has not configured the
logger `sagan_tf`.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sagan_tf.config import Config, EvaluationConfig
from sagan_tf.config.flag_text import check_values
from sagan_tf.errors import UserError
from sagan_tf.log import show_log

if TYPE_CHECKING:
    from sagan_tf.data.sources.source import Source
    from sagan_tf.generation.generators import Generator

__all__ = ["Config", "evaluate", "export", "load_generator", "open_data", "read_metrics", "sample", "train"]

_Path = str | os.PathLike[str]
_KINDS = ("train", "health", "evaluation")


def train(config: Config) -> pathlib.Path:
    """Train a run, or resume it from its newest checkpoint.

    Args:
        config: All options of the run; `Config.from_flagfile` reads them from a file.

    Returns:
        The run directory.

    Raises:
        UserError: The configuration, the data or the run directory cannot be used, or training has failed.

    Examples:
        >>> config = sagan_tf.Config.from_flagfile("configs/quickstart.cfg", run_dir="runs/short", num_steps=100)
        >>> sagan_tf.train(config)  # doctest: +SKIP
        PosixPath('runs/short')
    """
    from sagan_tf.evaluation.run_evaluation import create_training_evaluation
    from sagan_tf.training.train import train as train_run

    with show_log():
        train_run(config, create_training_evaluation if config.evaluation.evaluate_every else None)
    return pathlib.Path(os.path.expanduser(config.training.run_dir))


def open_data(config: Config) -> Source:
    """Open the training images of a configuration, to look at them before training.

    Args:
        config: The configuration of a run.

    Returns:
        The images as the networks receive them, but as 8-bit numbers: cropped, resized, with the channels of the
        configuration. `num_examples`, `class_names` and `class_counts` describe them. `preview(count)` is a
        `tf.data.Dataset` of the first images, and `examples(seed=0, position=0)` an endless `tf.data.Dataset` in random
        order; an element has an `image` uint8 [resolution, resolution, image_channels] and a `label`.

    Raises:
        UserError: The images do not exist, or their directory has another layout.

    Examples:
        >>> config = sagan_tf.Config.from_flagfile("configs/quickstart.cfg")
        >>> sagan_tf.open_data(config).num_examples  # doctest: +SKIP
        10000
    """
    from sagan_tf.data.sources.registry import open_source

    with show_log():
        return open_source(config.data, resolution=config.model.resolution, image_channels=config.model.image_channels)


def read_metrics(run_dir: _Path, kind: str = "") -> list[dict[str, Any]]:
    """Read the records of a run from its `metrics.jsonl`.

    Args:
        run_dir: The run directory.
        kind: `train` (losses, logits and other scalars of training), `health` (checks of the run's health) or
            `evaluation` (metrics); empty: all.

    Returns:
        The records in the order of the file. Each has a `step`, a `kind`, and values by name.

    Raises:
        UserError: `run_dir` is not a run directory, or `kind` is unknown.

    Examples:
        >>> [record["generator_loss"] for record in sagan_tf.read_metrics("runs/quickstart", "train")]  # doctest: +SKIP
        [0.083, 0.127, 0.204]
    """
    from sagan_tf.runs.metrics_log import read_metrics as read_records
    from sagan_tf.runs.run_directory import open_run

    if kind not in ("", *_KINDS):
        raise UserError(f"kind: expected one of {', '.join(_KINDS)}, received {kind!r}")
    directory, _ = open_run(run_dir)
    return [record for record in read_records(directory.metrics) if kind in ("", record.get("kind"))]


def load_generator(path: _Path, *, checkpoint: str | int = "latest", weights: str = "ema") -> Generator:
    """Load the generator of a run, of a checkpoint or of an export.

    Args:
        path: A run directory, the path of a checkpoint (`RUN/checkpoints/step-100` or `RUN/checkpoints/best`), or the
            directory of a SavedModel.
        checkpoint: For a run directory: `latest`, `best` or a step. Leave it out if `path` names a checkpoint.
        weights: For a run or a checkpoint: `ema` (the exponential moving average) or `live` (the trained weights).

    Returns:
        A generator. `generator(labels, seed=0, truncation=1.0)` makes images uint8 [n, height, width, channels].

    Raises:
        UserError: There is no such run, checkpoint or export, or it is damaged, or two checkpoints are given.

    Examples:
        >>> generator = sagan_tf.load_generator("runs/quickstart")  # doctest: +SKIP
        >>> generator(labels=["Bag", "Sandal"], seed=3).shape  # doctest: +SKIP
        (2, 32, 32, 1)
    """
    from sagan_tf.generation.exported_generators import load_generator_from_saved_model
    from sagan_tf.generation.generators import load_generator_from_run
    from sagan_tf.runs.load_networks import split_checkpoint_path

    place = pathlib.Path(os.path.expanduser(path))
    with show_log():
        if (place / "saved_model.pb").is_file():
            return load_generator_from_saved_model(str(place))
        run_dir, named = split_checkpoint_path(place)
        if named is not None and str(checkpoint) != "latest":
            raise UserError(f"checkpoint: expected no other checkpoint than that of {place}, received {checkpoint!r}")
        return load_generator_from_run(str(run_dir), str(checkpoint) if named is None else named, weights)


def evaluate(path: _Path, metrics: Sequence[str] = (), **options: Any) -> dict[str, Any]:
    """Compute metrics of a run, or of a directory of images.

    Args:
        path: A run directory, a directory of images, or real images as DATASET:SPLIT.
        metrics: Names of metrics, such as `fid50k`; empty: those that the run has been trained with.
        **options: Flags of `python -m sagan_tf.evaluate` by name, such as `checkpoint="best"` or `reference=...`.

    Returns:
        The record that the command writes: the metrics by name, and how they were computed.

    Raises:
        UserError: Something is missing, or options do not fit together.
    """
    from sagan_tf.evaluation.evaluate import evaluate as evaluate_options
    from sagan_tf.evaluation.options import EvaluateOptions

    source = "run_dir" if (pathlib.Path(os.path.expanduser(path)) / "flags.cfg").is_file() else "images"
    names = {field.name for field in dataclasses.fields(EvaluationConfig)}
    protocol = {name: value for name, value in options.items() if name in names}
    others = {name: value for name, value in options.items() if name not in names}
    with show_log():
        return evaluate_options(
            _create_options(EvaluateOptions, others, **{source: os.fspath(path)}),
            _create_options(EvaluationConfig, protocol, metrics=tuple(metrics)),
        )


def sample(path: _Path, output: _Path, *, mode: str = "grid", **options: Any) -> pathlib.Path:
    """Make images and write them to a file or a directory.

    Args:
        path: A run directory or the directory of a SavedModel.
        output: The file or the directory to write.
        mode: A mode of `python -m sagan_tf.sample`, such as `grid`, `images` or `attention`.
        **options: Further flags of the command by name, such as `labels=("Bag",)` or `truncation=0.7`.

    Returns:
        The path that was written.

    Raises:
        UserError: Something is missing, or options do not fit together. Nothing has been written then.
    """
    from sagan_tf.sampling.options import SampleOptions
    from sagan_tf.sampling.sample import make_samples

    source = "saved_model" if (pathlib.Path(os.path.expanduser(path)) / "saved_model.pb").is_file() else "run_dir"
    given = {source: os.fspath(path), "output": os.fspath(output), "mode": mode}
    with show_log():
        return make_samples(_create_options(SampleOptions, options, **given))


def export(run_dir: _Path, *, formats: Sequence[str] = ("saved_model",), **options: Any) -> dict[str, pathlib.Path]:
    """Export the generator of a run.

    Args:
        run_dir: The run directory.
        formats: `saved_model`, `tflite` or both.
        **options: Further flags of `python -m sagan_tf.export` by name, such as `output="models/1"`.

    Returns:
        The directories that were written, by format.

    Raises:
        UserError: Something is missing or in the way. Nothing has been written then.
    """
    from sagan_tf.exporting.export import export as export_options
    from sagan_tf.exporting.options import ExportOptions

    given = {"run_dir": os.fspath(run_dir), "formats": tuple(formats)}
    with show_log():
        return export_options(_create_options(ExportOptions, options, **given))


def _create_options(option_class: Any, options: dict[str, Any], **given: Any) -> Any:
    """Create a dataclass of options from keyword arguments; raise UserError for one that does not exist."""
    return option_class(**check_values(option_class, options | given))
