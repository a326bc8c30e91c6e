"""The generator that pictures are made with: a run's or an exported one, as one thing that is asked by seeds."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.distribution.per_replica import on_replicas
from sagan_tf.errors import UserError
from sagan_tf.generation.inference import compiled_generator, folded
from sagan_tf.generation.latents import latents_of_seeds
from sagan_tf.keras_backend import keras
from sagan_tf.networks.architectures import used_classes
from sagan_tf.runs.checkpoints import load_generator
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.saved_models import digest_of_saved_model, load_saved_model
from sagan_tf.serving.classes import classes_of_card
from sagan_tf.serving.contract import MODEL_CARD


@dataclasses.dataclass(frozen=True)
class Generator:
    """A generator, ready to make pictures.

    Attributes:
        name: for people.
        latent_dim: length of a latent vector.
        num_classes: 0 if it takes labels and ignores them.
        class_names: of the labels; empty if they are not known.
        shape: height, width and channels of its pictures.
        digest: a few letters that are others if its pictures are others.
        function: latents float32 [n, latent_dim] and labels int32 [n] to images float32 [n, *shape] in [-1, 1].
        network: the Keras network; None for an exported one.
        config: the run's; None for an exported one.
    """

    name: str
    latent_dim: int
    num_classes: int
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    digest: str
    function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    network: keras.Model | None = None
    config: Config | None = None

    def of_seeds(
        self, seeds: np.ndarray, labels: np.ndarray, truncation: np.ndarray | float = math.inf, batch_size: int = 64
    ) -> np.ndarray:
        """Pictures uint8 [n, *shape]; each a function of its own seed, label and truncation alone."""
        return self.of_latents(latents_of_seeds(seeds, self.latent_dim, truncation).numpy(), labels, batch_size)

    def of_latents(self, latents: np.ndarray, labels: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """Pictures uint8 [n, *shape] of latents [n, latent_dim] and labels [n]."""
        parts = [slice(start, start + batch_size) for start in range(0, len(latents), batch_size)]
        return np.concatenate([self.pictures(latents[part], labels[part]).numpy() for part in parts])

    def pictures(self, latents: tf.Tensor | np.ndarray, labels: np.ndarray) -> tf.Tensor:
        """Return a batch of pictures uint8 [n, *shape], rounded as saved pictures are."""
        return to_uint8(self.function(tf.cast(latents, tf.float32), tf.cast(labels, tf.int32)))

    def class_name(self, label: int) -> str:
        """Return what to call a class."""
        return self.class_names[label] if self.class_names else str(label)


Prepare = Callable[[keras.Model, Config, int, tuple[str, ...]], None]
"""Changes a network before it is compiled, given the run's configuration, number of classes and class names."""


def generator_of_run(
    run_dir: str,
    read_config: Callable[[pathlib.Path], Config],
    checkpoint: str = "latest",
    weights: str = "ema",
    strategy: tf.distribute.Strategy | None = None,
    prepare: Prepare | None = None,
) -> Generator:
    """Return the generator of a run.

    Args:
        run_dir: its folder.
        read_config: reads its `flags.cfg`.
        checkpoint: `latest`, `best` or a step.
        weights: `ema` or `live`.
        strategy: whose replicas share the work; None: there is one.
        prepare: changes the network before it is used.

    Raises:
        UserError: it is no folder of a run, or has no such checkpoint.
    """
    directory = RunDirectory(run_dir)
    if not directory.flags.is_file():
        raise UserError(f"run_dir: expected the folder of a run, with flags.cfg in it, received {run_dir}")
    config = read_config(directory.flags)
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        network, step = load_generator(config, directory.checkpoints, checkpoint, averaged=weights == "ema")
    num_classes = used_classes(config.model)
    class_names = directory.class_names(num_classes) if num_classes else ()
    if prepare is not None:
        prepare(network, config, num_classes, class_names)
    name = f"{directory.path.resolve().name}, step {step}" + ("" if weights == "ema" else f", {weights} weights")
    return as_generator(network, config, class_names, name, strategy)


def as_generator(
    network: keras.Model,
    config: Config,
    class_names: tuple[str, ...],
    name: str,
    strategy: tf.distribute.Strategy | None = None,
) -> Generator:
    """Return a network of `build_generator`, with its weights as they are now, as a `Generator`."""
    several = strategy is not None and strategy.num_replicas_in_sync > 1
    return Generator(
        name=name,
        latent_dim=config.model.latent_dim,
        num_classes=used_classes(config.model),
        class_names=class_names,
        shape=tuple(network.output_shape[1:]),
        digest=_digest_of(network),
        function=_shared_generator(network, strategy) if several else compiled_generator(network),
        network=network,
        config=config,
    )


def _digest_of(network: keras.Model) -> str:
    digest = hashlib.sha256()
    for variable in network.variables:
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()[:16]


def _shared_generator(
    network: keras.Model, strategy: tf.distribute.Strategy
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """As `compiled_generator`, each replica making its share of a batch."""
    replicas = strategy.num_replicas_in_sync

    def of_rows(latents: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor]:
        return (network([latents, labels], training=False),)

    latents, labels = (tf.TensorSpec(one.shape, one.dtype) for one in network.inputs)
    with strategy.scope(), folded(network):
        shared = tf.function(on_replicas(strategy, of_rows), autograph=False).get_concrete_function(latents, labels)

    def function(latents: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        count = tf.shape(labels)[0]
        missing = -count % replicas  # filled up with zeros: every replica gets as many
        return shared(tf.pad(latents, [[0, missing], [0, 0]]), tf.pad(labels, [[0, missing]]))[0][:count]

    return function


def generator_of_saved_model(folder: str) -> Generator:
    """Return an exported generator, by its signature `serving_default`.

    Raises:
        UserError: the folder holds no SavedModel with this signature.
    """
    path = pathlib.Path(os.path.expanduser(folder))
    model = load_saved_model(path, "saved_model")
    latent_dim, shape = _checked_signature(model, path)
    card = path / MODEL_CARD
    num_classes, class_names = classes_of_card(card) if card.is_file() else (0, ())
    return Generator(
        name=str(path),
        latent_dim=latent_dim,
        num_classes=num_classes,
        class_names=class_names,
        shape=shape,
        digest=digest_of_saved_model(path),
        function=_Exported(model),
    )


def _checked_signature(model: Any, path: pathlib.Path) -> tuple[int, tuple[int, int, int]]:
    """Length of a latent vector, and height, width and channels, of a signature that is as it must be."""
    signature = getattr(model, "signatures", {}).get("serving_default")
    inputs = signature.structured_input_signature[1] if signature is not None else {}
    outputs = signature.structured_outputs if signature is not None else {}
    unknown = tf.TensorSpec(None)
    latents, labels = inputs.get("latents", unknown), inputs.get("labels", unknown)
    images = outputs.get("images", unknown) if isinstance(outputs, dict) else unknown
    fits = (
        len(inputs) == 2
        and (latents.dtype, labels.dtype) == (tf.float32, tf.int32)
        and (latents.shape.rank, labels.shape.rank) == (2, 1)
        and latents.shape[0] is None
        and labels.shape[0] is None
        and latents.shape[1] is not None
        and images.shape.rank == 4
        and None not in images.shape[1:]
        and images.shape[3] in (1, 3, 4)
    )
    if not fits:
        raise UserError(
            "saved_model: expected a signature serving_default of latents float32 [any, n] and labels int32 [any] to "
            f"images [any, height, width, channels] in {path}, received another"
        )
    return latents.shape[1], tuple(images.shape[1:])


class _Exported:
    """A SavedModel as a `Generator`'s function. Keeps the model: its signatures hold its variables weakly."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, latents: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return self._model.signatures["serving_default"](latents=latents, labels=labels)["images"]
