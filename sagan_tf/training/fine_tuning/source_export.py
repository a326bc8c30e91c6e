"""The export whose weights a new run starts with."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.config import Config, ModelConfig
from sagan_tf.errors import UserError
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.keras_backend import iterate_layers, keras
from sagan_tf.layers import BatchNormalization
from sagan_tf.networks import build_discriminator, build_generator
from sagan_tf.networks.architectures import count_used_classes
from sagan_tf.runs.load_networks import split_checkpoint_path
from sagan_tf.saved_models import MAX_ERROR, NUM_COMPARED, load_saved_model
from sagan_tf.serving.classes import read_card_classes
from sagan_tf.serving.contract import MODEL_CARD, SERVING_DEFAULT
from sagan_tf.text import read_text
from sagan_tf.training.fine_tuning.exported_weights import read_exported_weights
from sagan_tf.training.fine_tuning.folded_weights import assign_folded_weights
from sagan_tf.training.fine_tuning.standing_statistics import estimate_moving_statistics
from sagan_tf.training.fine_tuning.weight_source import EXPORT, Values, WeightSource, read_values

_logger = logging.getLogger("sagan_tf")
_SAVED_MODEL = "saved_model.pb"
_ADVICE = "pass the run directory or a checkpoint"
_CARD_ENTRIES = {"configuration": dict, "signatures": dict, "num_classes": int, "step": int, "run": str}


def is_export(init_from: str) -> bool:
    """Return whether a source is a directory that `sagan_tf.export` wrote."""
    directory, _ = split_checkpoint_path(init_from)
    return any(os.path.isfile(directory / name) for name in (_SAVED_MODEL, MODEL_CARD))


def open_source_export(init_from: str) -> WeightSource:
    """Read the weights of an exported generator, and of the discriminator that was exported with it.

    Both generators of the source are the exported one. Vectors `u` and moving statistics that an export does not have
    are computed, such that the networks compute the same as the export.

    Args:
        init_from: The directory of the SavedModel.

    Returns:
        The weights, without a discriminator if none was exported.

    Raises:
        UserError: It is not the SavedModel of a generator with its model card, or its graph is not that of the card.
    """
    directory, _ = split_checkpoint_path(init_from)
    card = _read_card(directory, init_from)
    if "images" in card["signatures"][SERVING_DEFAULT]["inputs"]:
        raise UserError(
            f"init_from: {init_from} is an exported discriminator; pass the export of the generator, whose "
            "discriminator is found by itself"
        )
    num_classes, class_names = read_card_classes(directory / MODEL_CARD)
    model = _read_model_config(card, init_from)
    beside = directory.parent / "discriminator" / directory.name
    has_discriminator = _is_of_the_same_run(beside, card, model)
    # On the CPU, because the networks of the source and of the run may not fit into the memory of a GPU together.
    with tf.device("CPU:0"):
        generator, computed = _open_generator(model, directory, num_classes, init_from)
        networks: dict[str, Values] = dict.fromkeys(("generator", "generator_ema"), generator)
        computed_paths = dict.fromkeys(networks, computed)
        if has_discriminator:
            networks["discriminator"], computed_paths["discriminator"] = _open_discriminator(model, beside)
    return WeightSource(
        kind=EXPORT,
        path=os.path.abspath(directory),
        step=int(card["step"]),
        model=model,
        num_classes=num_classes,
        class_names=class_names,
        networks=networks,
        computed=computed_paths,
    )


def _read_card(directory: pathlib.Path, init_from: str) -> dict[str, Any]:
    if not os.path.isfile(directory / _SAVED_MODEL):
        raise UserError(
            f"init_from: {init_from} has no {_SAVED_MODEL}; TFLite models cannot be trained: pass a SavedModel of "
            "sagan_tf.export, a run directory or a checkpoint"
        )
    path = directory / MODEL_CARD
    try:
        read_card_classes(path)
        card = json.loads(read_text(path))
        for name, kind in _CARD_ENTRIES.items():
            if not isinstance(card.get(name), kind):
                raise UserError(f"{path} has no {name} of the type {kind.__name__}")
        signature = card["signatures"].get(SERVING_DEFAULT)
        if not isinstance(signature, dict) or not isinstance(signature.get("inputs"), dict):
            raise UserError(f"{path} has no inputs of the signature {SERVING_DEFAULT}")
    except (UserError, OSError, ValueError) as error:
        problem = str(error).removeprefix("model_card: ").partition("; give the")[0]
        raise UserError(
            f"init_from: expected {MODEL_CARD} of sagan_tf.export in {init_from}, which has the options of the "
            f"networks: {problem}; {_ADVICE}"
        ) from error
    return dict(card)


def _read_model_config(card: dict[str, Any], init_from: str) -> ModelConfig:
    names = [field.name for field in dataclasses.fields(ModelConfig)]
    try:
        values = {name: card["configuration"][name] for name in names if name in card["configuration"]}
        model = Config.from_options(**values).model
        if card["num_classes"] != (used := count_used_classes(model)):
            raise ValueError(f"num_classes is {card['num_classes']}, but configuration has {used} classes")
    except (UserError, TypeError, ValueError) as error:
        raise UserError(
            f"init_from: the options of the networks in {MODEL_CARD} of {init_from} are not valid: {error}; {_ADVICE}"
        ) from error
    return model


def _is_of_the_same_run(directory: pathlib.Path, card: dict[str, Any], model: ModelConfig) -> bool:
    """Return whether a directory has the discriminator that was exported with a generator.

    Only the options of the networks are compared, because others may change when a run is resumed.
    """
    if not os.path.isfile(directory / _SAVED_MODEL):
        return False
    other = _read_card(directory, str(directory))
    options = dataclasses.asdict(_read_model_config(other, str(directory)))
    different = [name for name in ("run", "step") if other[name] != card[name]]
    different += [name for name, value in dataclasses.asdict(model).items() if options[name] != value]
    if different:
        _logger.warning("%s is of another run or step (%s differs), and is not used", directory, different[0])
    return not different


def _open_generator(
    model: ModelConfig, directory: pathlib.Path, num_classes: int, init_from: str
) -> tuple[Values, tuple[str, ...]]:
    generator = build_generator(model, convolution_form="plain")
    saved, computed = _assign_weights(generator, directory, init_from)
    layers = [
        layer
        for layer in iterate_layers(generator)
        if isinstance(layer, BatchNormalization) and layer.moving_mean.path in computed
    ]
    estimate_moving_statistics(generator, layers, num_classes)
    labels = tf.constant(np.arange(NUM_COMPARED) % max(num_classes, 1), tf.int32)
    latents = draw_latents_from_seeds(np.arange(NUM_COMPARED), model.latent_dim)
    images = saved.signatures[SERVING_DEFAULT](latents=latents, labels=labels)["images"]
    error = _measure_error(images, generator([latents, labels], training=False), init_from)
    _logger.info("the largest difference from a pixel of %s is %.2g", init_from, error)
    return read_values(generator, init_from), computed


def _open_discriminator(model: ModelConfig, directory: pathlib.Path) -> tuple[Values, tuple[str, ...]]:
    name = str(directory)
    discriminator = build_discriminator(dataclasses.replace(model, resampling="plain"))
    saved, computed = _assign_weights(discriminator, directory, name)
    images = tf.random.stateless_uniform([NUM_COMPARED, *discriminator.inputs[0].shape[1:]], (0, 0), -1.0, 1.0)
    labels = tf.zeros([NUM_COMPARED], tf.int32)
    logits = saved.signatures[SERVING_DEFAULT](images=images, labels=labels)["logits"]
    outputs = discriminator([images, labels], training=False)
    _measure_error(logits, outputs[0] if isinstance(outputs, list | tuple) else outputs, name)
    return read_values(discriminator, name), computed


def _assign_weights(network: keras.Model, directory: pathlib.Path, init_from: str) -> tuple[Any, tuple[str, ...]]:
    """Assign the weights of a SavedModel; return it and the paths of variables that it does not have."""
    saved = load_saved_model(directory, "init_from")
    try:
        return saved, tuple(assign_folded_weights(network, read_exported_weights(saved)))
    except ValueError as error:
        raise UserError(
            f"init_from: the graph of {init_from} is not that of its {MODEL_CARD} ({error}); it may be from another "
            f"version of sagan_tf: {_ADVICE}"
        ) from error


def _measure_error(expected: tf.Tensor, received: tf.Tensor, init_from: str) -> float:
    """Return the largest difference, relative to values above 1; raise UserError if it is more than rounding."""
    scale = np.maximum(np.abs(expected.numpy()), 1.0)
    error = float((np.abs(expected.numpy() - received.numpy()) / scale).max())
    if not error <= MAX_ERROR:
        raise UserError(
            f"init_from: expected the weights of {init_from} to give its outputs within {MAX_ERROR:g}, received "
            f"outputs that differ by {error:.2g}; {_ADVICE}"
        )
    return error
