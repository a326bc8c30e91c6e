"""Generators of runs and of exported models with one interface that makes images from seeds."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from sagan_tf.class_labels import find_labels
from sagan_tf.config import Config
from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.distribution.per_replica import split_over_replicas
from sagan_tf.generation.inference import compile_generator, freeze_for_inference
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.keras_backend import keras
from sagan_tf.networks.architectures import count_used_classes
from sagan_tf.runs.load_networks import load_generator
from sagan_tf.runs.run_directory import open_run


@dataclasses.dataclass(frozen=True)
class Generator:
    """A generator that is ready to make images.

    Attributes:
        name: Name for messages and titles.
        latent_dim: Length of a latent vector.
        num_classes: Number of classes; 0 if the generator ignores its labels.
        class_names: Names of the classes; empty if they are not known.
        shape: Height, width and channels of an image.
        digest: Short hexadecimal digest that differs between generators that make different images.
        function: Function from latents float32 [n, latent_dim] and labels int32 [n] to images float32 [n, *shape] in
            [-1, 1].
        network: Keras network; None for an exported generator.
        config: Configuration of the run; None for an exported generator.
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

    def __call__(
        self,
        labels: Sequence[int | str] = (),
        *,
        seed: int | Sequence[int] = 0,
        truncation: float | None = None,
    ) -> np.ndarray:
        """Make one image of each label.

        Args:
            labels: Classes by number (an integer) or by name (text, see `class_labels.find_labels`); empty: every
                class.
            seed: The seed of the latents, the same for all images, or one seed for each image.
            truncation: The latents are those of a normal distribution that is cut off at +-truncation; None: all.

        Returns:
            Images, uint8 [labels, height, width, channels]. The same seed, label and truncation make the same image.

        Raises:
            UserError: A label is unknown.
        """
        numbers = np.array(self._find_labels(labels), np.int32)
        seeds = np.broadcast_to(np.asarray(seed, np.int64), numbers.shape)
        return self.images_from_seeds(seeds, numbers, math.inf if truncation is None else truncation)

    def _find_labels(self, labels: Sequence[int | str]) -> list[int]:
        if not len(labels):
            return find_labels([], self.num_classes, self.class_names)
        return [
            find_labels([label], self.num_classes, self.class_names)[0]
            if isinstance(label, str)
            else find_labels([str(label)], self.num_classes, ())[0]  # a number, also if a class has it as its name
            for label in labels
        ]

    def images_from_seeds(
        self, seeds: np.ndarray, labels: np.ndarray, truncation: np.ndarray | float = math.inf, batch_size: int = 64
    ) -> np.ndarray:
        """Make images from seeds, each from its own seed, label and truncation only.

        Args:
            seeds: Seeds, int64 [n].
            labels: Labels, int32 [n].
            truncation: Truncation threshold, a scalar or [n]; see `draw_latents_from_seeds`.
            batch_size: Number of images in a batch.

        Returns:
            Images, uint8 [n, *shape].
        """
        return self.images_from_latents(
            draw_latents_from_seeds(seeds, self.latent_dim, truncation).numpy(), labels, batch_size
        )

    def images_from_latents(self, latents: np.ndarray, labels: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """Make images from latents.

        Args:
            latents: Latents, float32 [n, latent_dim].
            labels: Labels, int32 [n].
            batch_size: Number of images in a batch.

        Returns:
            Images, uint8 [n, *shape].
        """
        parts = [slice(start, start + batch_size) for start in range(0, len(latents), batch_size)]
        return np.concatenate([self.make_images(latents[part], labels[part]).numpy() for part in parts])

    def make_images(self, latents: tf.Tensor | np.ndarray, labels: np.ndarray) -> tf.Tensor:
        """Make one batch of images, uint8 [n, *shape], rounded like saved images."""
        return to_uint8(self.function(tf.cast(latents, tf.float32), tf.cast(labels, tf.int32)))

    def get_class_name(self, label: int) -> str:
        """Return the name of a class, or its label if names are not known."""
        return self.class_names[label] if self.class_names else str(label)


PrepareNetwork = Callable[[keras.Model, Config, int, tuple[str, ...]], None]
"""Function that changes a network before it is compiled. It receives the network and the run's configuration, number of
classes and class names."""


def load_generator_from_run(
    run_dir: str,
    checkpoint: str = "latest",
    weights: str = "ema",
    strategy: tf.distribute.Strategy | None = None,
    prepare: PrepareNetwork | None = None,
) -> Generator:
    """Load the generator of a run.

    Args:
        run_dir: Run directory.
        checkpoint: `latest`, `best` or a step.
        weights: `ema` or `live`.
        strategy: Strategy whose replicas share the work; None uses one replica.
        prepare: Function that changes the network before it is compiled.

    Returns:
        The generator.

    Raises:
        UserError: `run_dir` is not the directory of a run, or the run does not have this checkpoint.
    """
    directory, config = open_run(run_dir)
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        network, step = load_generator(config, directory.checkpoints, checkpoint, use_ema=weights == "ema")
    num_classes = count_used_classes(config.model)
    class_names = directory.read_class_names(num_classes) if num_classes else ()
    if prepare is not None:
        prepare(network, config, num_classes, class_names)
    name = f"{directory.path.resolve().name}, step {step}" + ("" if weights == "ema" else f", {weights} weights")
    return create_generator_from_network(network, config, class_names, name, strategy)


def create_generator_from_network(
    network: keras.Model,
    config: Config,
    class_names: tuple[str, ...],
    name: str,
    strategy: tf.distribute.Strategy | None = None,
) -> Generator:
    """Create a `Generator` from a network and its present weights.

    Args:
        network: A network made by `build_generator`.
        config: Configuration of the run.
        class_names: Names of the classes; empty if they are not known.
        name: Name for messages and titles.
        strategy: Strategy whose replicas share the work; None uses one replica.

    Returns:
        The generator.
    """
    has_replicas = strategy is not None and strategy.num_replicas_in_sync > 1
    return Generator(
        name=name,
        latent_dim=config.model.latent_dim,
        num_classes=count_used_classes(config.model),
        class_names=class_names,
        shape=tuple(network.output_shape[1:]),
        digest=_compute_weights_digest(network),
        function=_compile_for_replicas(network, strategy) if has_replicas else compile_generator(network),
        network=network,
        config=config,
    )


def _compute_weights_digest(network: keras.Model) -> str:
    digest = hashlib.sha256()
    for variable in network.variables:
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()[:16]


def _compile_for_replicas(
    network: keras.Model, strategy: tf.distribute.Strategy
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Compile a generator whose replicas share each batch; see `compile_generator`."""
    replicas = strategy.num_replicas_in_sync

    def generate_rows(latents: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor]:
        return (network([latents, labels], training=False),)

    latents, labels = (tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in network.inputs)
    with strategy.scope(), freeze_for_inference(network):
        shared = tf.function(split_over_replicas(strategy, generate_rows), autograph=False).get_concrete_function(
            latents, labels
        )

    def function(latents: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        count = tf.shape(labels)[0]
        missing = -count % replicas  # padded with zeros, so that every replica has the same number of rows
        return shared(tf.pad(latents, [[0, missing], [0, 0]]), tf.pad(labels, [[0, missing]]))[0][:count]

    return function
