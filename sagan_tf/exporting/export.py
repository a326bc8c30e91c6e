"""Export of a run: builds, compares and writes all requested models, or none."""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib

import numpy as np

from sagan_tf.config import Config
from sagan_tf.distribution.devices import prepare_for_inference, use_no_gpu
from sagan_tf.distribution.memory_errors import explain_memory_errors
from sagan_tf.errors import UserError
from sagan_tf.exporting.atomic_directories import replace_directories_atomically
from sagan_tf.exporting.model_card import Origin, build_model_card
from sagan_tf.exporting.options import ExportOptions
from sagan_tf.exporting.parity import measure_discriminator_error, measure_saved_model_error
from sagan_tf.exporting.saved_model import write_saved_model
from sagan_tf.exporting.signatures import (
    export_discriminator,
    export_generator,
    get_discriminator_sizes,
    get_generator_sizes,
)
from sagan_tf.exporting.tflite import check_tflite
from sagan_tf.exporting.tflite_files import write_tflite
from sagan_tf.files import check_can_write_directory
from sagan_tf.keras_backend import keras
from sagan_tf.networks.architectures import count_used_classes
from sagan_tf.runs.load_networks import load_discriminator, load_generator
from sagan_tf.runs.metrics_log import find_evaluation
from sagan_tf.runs.run_directory import RunDirectory, open_run
from sagan_tf.serving.contract import AUXILIARY_CLASSIFIER_SIGNATURES, DISCRIMINATOR_SIGNATURES, GENERATOR_SIGNATURES
from sagan_tf.tensorflow_paths import check_tensorflow_path, is_pattern

_EXISTING_ADVICE = "choose another --output or replace it with --overwrite"
_logger = logging.getLogger("sagan_tf")
_PNG_CHANNELS = (1, 3, 4)
SAVED_MODEL, TFLITE, DISCRIMINATOR = "saved_model", "tflite", "discriminator"


@explain_memory_errors("export", "free memory, and export again")
def export(options: ExportOptions) -> dict[str, pathlib.Path]:
    """Export a run as the options describe.

    Args:
        options: What to export, and where to write it.

    Returns:
        The directories that were written, by kind of export.

    Raises:
        UserError: If something is missing or in the way. Nothing has been written then.
    """
    # Always on the CPU, so that the same command exports the same graph on every machine: on a GPU other forms of
    # convolutions are the fastest.
    use_no_gpu()
    prepare_for_inference()
    default = RunDirectory(options.run_dir).path / "exports"
    base = pathlib.Path(os.path.expanduser(options.output)) if options.output else default
    check_can_write_directory(base, "output")
    directory, config = open_run(options.run_dir)
    if "tflite" in options.formats:
        check_tflite()
    inference_config = _configure_inference(config, options)
    use_ema = options.generator_weights == "ema"
    generator, step = load_generator(inference_config, directory.checkpoints, options.checkpoint, use_ema=use_ema)
    paths = _choose_output_paths(options, base, step, _estimate_min_bytes(generator))
    # Everything is read and checked before anything is written.
    discriminator = None
    if options.discriminator:
        discriminator = load_discriminator(inference_config, directory.checkpoints, options.checkpoint)
    if config.model.image_channels not in _PNG_CHANNELS:
        received = config.model.image_channels
        raise UserError(f"image_channels: expected 1, 3 or 4 to export, which PNG files support, received {received}")
    for network in (generator, discriminator):
        _check_finite_weights(network, step)
    origin = _describe_origin(options, directory, config, step)
    _write_exports(generator, discriminator, origin, options, paths)
    _log_exports(origin, paths)
    return paths


def _configure_inference(config: Config, options: ExportOptions) -> Config:
    """Return the configuration of a run with the form of convolutions to export.

    Raises:
        UserError: If a discriminator is to be exported whose logits depend on the whole batch: a server puts images of
            several requests into one batch.
    """
    if options.discriminator and config.model.discriminator_minibatch_statistics:
        raise UserError(
            "discriminator: expected a run with --discriminator_minibatch_statistics=0, whose logits do not depend on "
            f"other images of the batch, received {config.model.discriminator_minibatch_statistics}"
        )
    return dataclasses.replace(config, model=dataclasses.replace(config.model, resampling=options.resampling))


def _estimate_min_bytes(network: keras.Model) -> int:
    """Return a lower bound of the size of every export in bytes.

    The smallest TFLite model has 8-bit weights.
    """
    return int(network.count_params())


def _choose_output_paths(
    options: ExportOptions, base: pathlib.Path, step: int, num_bytes: int
) -> dict[str, pathlib.Path]:
    """Return the directories to write, by kind of export.

    Args:
        options: What to export.
        base: The directory that the exports go into.
        step: The step of the checkpoint.
        num_bytes: The lower bound of the size of the exports, in bytes.

    Raises:
        UserError: If a directory cannot be written, or exists and may not be replaced.
    """
    check_tensorflow_path("output", base)
    paths = {
        SAVED_MODEL: base / str(step),
        DISCRIMINATOR: base / DISCRIMINATOR / str(step),
        TFLITE: base / TFLITE,
    }
    requested = {*options.formats, DISCRIMINATOR} if options.discriminator else set(options.formats)
    paths = {kind: path for kind, path in paths.items() if kind in requested}
    try:
        existing = [path for path in paths.values() if path.exists()]
        files = [path for path in (base, *paths.values()) if path.exists() and not path.is_dir()]
    except OSError as error:
        raise UserError(f"output: cannot write {base}: {error.strerror or error}") from error
    if files:
        raise UserError(f"output: expected a directory, received the file {files[0]}")
    check_can_write_directory(base, "output", num_bytes=num_bytes)
    if existing and not options.overwrite:
        raise UserError(f"output: {existing[0]} already exists; {_EXISTING_ADVICE}")
    return paths


def _check_finite_weights(network: keras.Model | None, step: int) -> None:
    """Raise UserError for weights with NaN or Inf, of a run that diverged."""
    if network is not None and not all(np.isfinite(variable.numpy()).all() for variable in network.variables):
        raise UserError(
            f"checkpoint: the weights at step {step} have NaN or Inf, and cannot be exported; choose an earlier "
            "--checkpoint"
        )


def _describe_origin(options: ExportOptions, directory: RunDirectory, config: Config, step: int) -> Origin:
    num_classes = count_used_classes(config.model)
    return Origin(
        run=directory.path.resolve().name,
        config=config,
        class_names=directory.read_class_names(num_classes) if num_classes else (),
        step=step,
        weights=options.generator_weights,
        metrics=find_evaluation(directory.metrics, step, options.generator_weights),
        versions=directory.read_versions(),
        data_license=options.data_license,
    )


def _write_exports(
    generator: keras.Model,
    discriminator: keras.Model | None,
    origin: Origin,
    options: ExportOptions,
    paths: dict[str, pathlib.Path],
) -> None:
    """Write all exports, or none of them if one fails."""
    directories = list(paths.values())
    with replace_directories_atomically(directories, options.overwrite, advice=_EXISTING_ADVICE) as new_directories:
        new = dict(zip(paths, new_directories, strict=True))
        if SAVED_MODEL in new:
            _export_saved_model(generator, origin, new[SAVED_MODEL])
        if discriminator is not None:
            _export_discriminator(discriminator, origin, new[DISCRIMINATOR])
        if TFLITE in new:
            write_tflite(generator, origin, options, new[TFLITE])


def _log_exports(origin: Origin, paths: dict[str, pathlib.Path]) -> None:
    """Log where the exports are, and warn of paths that TensorFlow takes for patterns."""
    for kind, path in paths.items():
        _logger.info("%s, step %d, in %s", origin.run, origin.step, path)
        if kind != TFLITE and is_pattern(path.absolute()):
            _logger.warning(
                "%s has one of the characters [ ] * ? \\ in its path: sagan_tf can load the SavedModel there; "
                "tf.saved_model.load and TensorFlow Serving may fail to; copy it to another directory for them",
                path.absolute(),
            )


def _export_saved_model(network: keras.Model, origin: Origin, directory: pathlib.Path) -> None:
    num_classes = count_used_classes(origin.config.model)
    exported = export_generator(network, num_classes)
    signatures = {name: GENERATOR_SIGNATURES[name] for name in exported.signatures}
    card = build_model_card(origin, num_classes, get_generator_sizes(network), signatures)
    write_saved_model(exported, card, directory)
    error = measure_saved_model_error(directory, network, num_classes)
    _logger.info("SavedModel: the largest difference from a pixel of the run is %.2g", error)


def _export_discriminator(network: keras.Model, origin: Origin, directory: pathlib.Path) -> None:
    num_classes = count_used_classes(origin.config.model)
    exported = export_discriminator(network, num_classes)
    has_classifier = origin.config.model.conditioning == "auxiliary_classifier"
    signatures = AUXILIARY_CLASSIFIER_SIGNATURES if has_classifier else DISCRIMINATOR_SIGNATURES
    card = build_model_card(origin, num_classes, get_discriminator_sizes(network), signatures, DISCRIMINATOR)
    write_saved_model(exported, card, directory)
    error = measure_discriminator_error(directory, network, num_classes)
    _logger.info("discriminator: the largest difference from a logit of the run is %.2g", error)
