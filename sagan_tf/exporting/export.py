"""An export from options: opens the run, builds what is asked for, compares it with the run, writes all or nothing."""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib
from collections.abc import Callable

import numpy as np

from sagan_tf.config import Config
from sagan_tf.distribution.devices import prepare_for_inference, use_no_gpu
from sagan_tf.distribution.memory_errors import explain_memory_errors
from sagan_tf.errors import UserError
from sagan_tf.exporting.atomic_directories import whole_folders
from sagan_tf.exporting.model_card import Origin, model_card
from sagan_tf.exporting.options import ExportOptions
from sagan_tf.exporting.parity import saved_model_error
from sagan_tf.exporting.saved_model import write_saved_model
from sagan_tf.exporting.signatures import discriminator_sizes, export_discriminator, export_generator, generator_sizes
from sagan_tf.exporting.tflite import check_tflite
from sagan_tf.exporting.tflite_files import write_tflite
from sagan_tf.files import check_can_write_directory
from sagan_tf.keras_backend import keras
from sagan_tf.networks.architectures import used_classes
from sagan_tf.runs.checkpoints import load_discriminator, load_generator
from sagan_tf.runs.metrics_log import find_evaluation
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.serving.contract import AUXILIARY_CLASSIFIER_SIGNATURES, DISCRIMINATOR_SIGNATURES, GENERATOR_SIGNATURES
from sagan_tf.tensorflow_paths import check_tensorflow_path, is_pattern

_logger = logging.getLogger("sagan_tf")
_PNG_CHANNELS = (1, 3, 4)
SAVED_MODEL, TFLITE, DISCRIMINATOR = "saved_model", "tflite", "discriminator"


@explain_memory_errors("export", "free memory, and export again")
def export(options: ExportOptions, read_config: Callable[[pathlib.Path], Config]) -> None:
    """Export what the options ask for.

    Args:
        options: what to export, and where to write it.
        read_config: reads a run's `flags.cfg`.

    Raises:
        UserError: something is missing or in the way; nothing has then been written.
    """
    # The same command exports the same graph on every machine: on a GPU other forms of convolutions are the fastest.
    use_no_gpu()
    prepare_for_inference()
    directory = RunDirectory(options.run_dir)
    if not directory.flags.is_file():
        raise UserError(f"run_dir: expected the folder of a run, with flags.cfg in it, received {options.run_dir}")
    base = pathlib.Path(os.path.expanduser(options.output)) if options.output else directory.path / "exports"
    check_can_write_directory(base, "output")
    if "tflite" in options.formats:
        check_tflite()
    config = read_config(directory.flags)
    at_inference = _for_inference(config, options)
    averaged = options.generator_weights == "ema"
    network, step = load_generator(at_inference, directory.checkpoints, options.checkpoint, averaged=averaged)
    wanted = _outputs(options, base, step, _least_bytes(network))
    # Everything is read before anything is written.
    judge = None
    if options.discriminator:
        judge = load_discriminator(at_inference, directory.checkpoints, options.checkpoint)
    if config.model.image_channels not in _PNG_CHANNELS:
        received = config.model.image_channels
        raise UserError(f"image_channels: expected 1, 3 or 4 to export, which PNG files have, received {received}")
    for one in (network, judge):
        _check_weights(one, step)
    origin = _origin(options, directory, config, step)
    with whole_folders(list(wanted.values()), options.overwrite) as folders:
        new = dict(zip(wanted, folders, strict=True))
        if SAVED_MODEL in new:
            _export_saved_model(network, origin, new[SAVED_MODEL])
        if judge is not None:
            _export_discriminator(judge, origin, new[DISCRIMINATOR])
        if TFLITE in new:
            write_tflite(network, origin, options, new[TFLITE])
    for kind, path in wanted.items():
        _logger.info("%s, step %d, in %s", origin.run, step, path)
        if kind != TFLITE and is_pattern(path.absolute()):
            _logger.warning(
                "%s has one of the characters [ ] * ? \\ in its path: sagan_tf can load the SavedModel there; "
                "tf.saved_model.load and TensorFlow Serving may fail to; copy it to another directory for them",
                path.absolute(),
            )


def _for_inference(config: Config, options: ExportOptions) -> Config:
    """Return the run's configuration, but for how its convolutions are computed.

    Raises:
        UserError: If a discriminator is to be exported that does not judge every image by itself: a server puts images
            of several requests into one batch.
    """
    if options.discriminator and config.model.discriminator_minibatch_statistics:
        raise UserError(
            "discriminator: expected a run with --discriminator_minibatch_statistics=0, whose logits do not depend on "
            f"other images of the batch, received {config.model.discriminator_minibatch_statistics}"
        )
    return dataclasses.replace(config, model=dataclasses.replace(config.model, resampling=options.resampling))


def _least_bytes(network: keras.Model) -> int:
    """Return a size in bytes that every export exceeds: weights in 8 bits, as in the smallest TFLite model."""
    return int(network.count_params())


def _outputs(options: ExportOptions, base: pathlib.Path, step: int, num_bytes: int) -> dict[str, pathlib.Path]:
    """Return the folders to write; raise UserError for what is in the way, before any work is done."""
    check_tensorflow_path("output", base)
    wanted = {
        SAVED_MODEL: base / str(step),
        DISCRIMINATOR: base / DISCRIMINATOR / str(step),
        TFLITE: base / TFLITE,
    }
    asked = {*options.formats, DISCRIMINATOR} if options.discriminator else set(options.formats)
    wanted = {kind: path for kind, path in wanted.items() if kind in asked}
    try:
        there = [path for path in wanted.values() if path.exists()]
        files = [path for path in (base, *wanted.values()) if path.exists() and not path.is_dir()]
    except OSError as error:
        raise UserError(f"output: expected a folder, received {base} ({error.strerror or error})") from error
    if files:
        raise UserError(f"output: expected a folder, received the file {files[0]}")
    check_can_write_directory(base, "output", num_bytes=num_bytes)
    if there and not options.overwrite:
        raise UserError(f"output: expected no export there yet, received {there[0]}; --overwrite replaces it")
    return wanted


def _check_weights(network: keras.Model | None, step: int) -> None:
    """Raise UserError for weights of a run that diverged: every answer would be a picture of nothing."""
    if network is not None and not all(np.isfinite(variable.numpy()).all() for variable in network.variables):
        raise UserError(f"checkpoint: expected finite weights to export, received others at step {step}")


def _origin(options: ExportOptions, directory: RunDirectory, config: Config, step: int) -> Origin:
    num_classes = used_classes(config.model)
    return Origin(
        run=directory.path.resolve().name,
        config=config,
        class_names=directory.class_names(num_classes) if num_classes else (),
        step=step,
        weights=options.generator_weights,
        metrics=find_evaluation(directory.metrics, step, options.generator_weights),
        versions=directory.read_versions(),
        data_licence=options.data_licence,
    )


def _export_saved_model(network: keras.Model, origin: Origin, folder: pathlib.Path) -> None:
    num_classes = used_classes(origin.config.model)
    exported = export_generator(network, num_classes)
    signatures = {name: GENERATOR_SIGNATURES[name] for name in exported.signatures}
    write_saved_model(exported, model_card(origin, num_classes, generator_sizes(network), signatures), folder)
    error = saved_model_error(folder, network, num_classes)
    _logger.info("SavedModel: pixels differ by at most %.2g from the run's", error)


def _export_discriminator(network: keras.Model, origin: Origin, folder: pathlib.Path) -> None:
    num_classes = used_classes(origin.config.model)
    exported = export_discriminator(network, num_classes)
    has_classifier = origin.config.model.conditioning == "auxiliary_classifier"
    signatures = AUXILIARY_CLASSIFIER_SIGNATURES if has_classifier else DISCRIMINATOR_SIGNATURES
    card = model_card(origin, num_classes, discriminator_sizes(network), signatures, DISCRIMINATOR)
    write_saved_model(exported, card, folder)
