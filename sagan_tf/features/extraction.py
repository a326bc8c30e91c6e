"""Extraction of features from images and generators, with every batch split over the replicas of a strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.data.pipeline import make_single_pass_dataset
from sagan_tf.data.sources.source import Source
from sagan_tf.distribution.per_replica import split_over_replicas
from sagan_tf.distribution.strategy import is_chief
from sagan_tf.distribution.worker_agreement import is_true_on_all_workers
from sagan_tf.features.extractor import Extractor
from sagan_tf.generation.latents import LatentSampler, compute_evaluation_draw_number
from sagan_tf.keras_backend import keras
from sagan_tf.progress import progress_bar

_LATENTS_PER_DRAW = 1000
"""Fixed, and not the batch size, because the latents of an image depend on it."""


class FeatureBatch(NamedTuple):
    """Features of images, and the images if they are wanted.

    Attributes:
        features: float32 `[n, d]`.
        logits: float32 `[n, classes]`.
        labels: int32 `[n]`.
        images: uint8 `[n, height, width, channels]`; empty if they are not wanted.
    """

    features: np.ndarray
    logits: np.ndarray
    labels: np.ndarray
    images: np.ndarray = np.zeros((0, 0, 0, 0), np.uint8)


class Extraction:
    """Extraction of features by an extractor under a distribution strategy.

    Args:
        extractor: An extractor that was opened in the strategy's scope.
        strategy: The strategy that runs it.
        batch_size: Images per batch over all replicas; rounded up to a multiple of the number of replicas.
    """

    def __init__(self, extractor: Extractor, strategy: tf.distribute.Strategy, batch_size: int) -> None:
        self.extractor = extractor
        self._strategy = strategy
        replicas = strategy.num_replicas_in_sync
        self.batch_size = -(-batch_size // replicas) * replicas
        # Traced once: tracing an extractor takes as long as some images, and a run is evaluated often in training.
        self._extract = self._compile(extractor)
        self._compiled_for: tuple[keras.Model, bool] | None = None

    @property
    def is_writer(self) -> bool:
        """Return whether this worker writes the common results of all workers."""
        return is_chief(self._strategy)

    def is_true_on_all_workers(self, value: bool) -> bool:
        """Return whether `value` is true on every worker.

        A collective operation must be entered by all workers.
        """
        return is_true_on_all_workers(self._strategy, value)

    def extract_from_source(self, source: Source, count: int | None = None) -> Iterator[FeatureBatch]:
        """Yield the features of the first images of a source, in its fixed random order.

        Args:
            source: The images.
            count: Number of images; None for all.

        Raises:
            UserError: The source has more unreadable images than are allowed.
        """
        self.extractor.check_channels(source.image_channels)
        remaining = source.num_examples if count is None else min(count, source.num_examples)
        with source.skipped.raise_user_errors():
            for batch in make_single_pass_dataset(source, batch_size=self.batch_size).as_numpy_iterator():
                images, labels = batch["images"][:remaining], batch["labels"][:remaining]
                remaining -= len(images)
                features, logits = self.extract_from_images(images)
                yield FeatureBatch(features, logits, labels, images)
                if not remaining:
                    return

    def extract_from_images(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the features and logits of at most `batch_size` images.

        Args:
            images: uint8 `[n, height, width, channels]`.
        """
        features, logits = self._extract(images)
        return features, logits

    def extract_from_generator(
        self,
        generator: keras.Model,
        latent_dim: int,
        num_classes: int,
        count: int,
        seed: int,
        class_counts: tuple[int, ...] = (),
        with_images: bool = False,
    ) -> Iterator[FeatureBatch]:
        """Yield the features of images of a generator in inference mode.

        The images are rounded to 8 bits, as saved images are. The i-th image is a function of `seed`, i and
        `class_counts` alone, whatever the batch size and the number of replicas.

        Args:
            generator: A network from latents and labels to images.
            latent_dim: Length of its latents.
            num_classes: Number of its classes.
            count: Number of images.
            seed: Seed of the latents and labels.
            class_counts: Proportions of the labels; empty for uniform labels. The latents do not depend on it.
            with_images: Whether the batches have the images, too.
        """
        self.extractor.check_channels(generator.output_shape[-1])
        sampler = LatentSampler(seed, latent_dim, num_classes, _LATENTS_PER_DRAW, class_counts)
        if self._compiled_for is None or self._compiled_for != (generator, with_images):
            self._compiled_for = (generator, with_images)
            self._extract_from_latents = self._compile(self._make_extraction(generator, with_images))
        for latents, labels in _draw_batches(sampler, count, self.batch_size):
            features, logits, *images = self._extract_from_latents(latents, labels)
            yield FeatureBatch(features, logits, labels, *images)

    def _make_extraction(self, generator: keras.Model, with_images: bool) -> Callable[..., tuple[tf.Tensor, ...]]:
        """Return a function from latents and labels to features and logits, and to the images `with_images`."""

        def extract(latents: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
            images = to_uint8(generator([latents, labels], training=False))
            outputs = self.extractor(images)
            # Without need, the images are not returned: with several workers, each output is sent to all of them.
            return (*outputs, images) if with_images else tuple(outputs)

        return extract

    def _compile(self, function: Callable[..., tuple[tf.Tensor, ...]]) -> Callable[..., list[np.ndarray]]:
        """Compile a function of arrays whose rows are split over the replicas."""
        run = tf.function(split_over_replicas(self._strategy, function), autograph=False)

        def run_on_batch(*arrays: np.ndarray) -> list[np.ndarray]:
            # A small batch is filled up by repeating its rows, so that every replica gets the same number of rows and
            # the function is traced once.
            filled = [tf.constant(np.resize(array, (self.batch_size, *array.shape[1:]))) for array in arrays]
            with self._strategy.scope():
                return [output.numpy()[: len(arrays[0])] for output in run(*filled)]

        return run_on_batch


def draw_labels(num_classes: int, count: int, seed: int, class_counts: tuple[int, ...] = ()) -> np.ndarray:
    """Return the labels of `Extraction.extract_from_generator`, int32 `[count]`."""
    sampler = LatentSampler(seed, 1, num_classes, _LATENTS_PER_DRAW, class_counts)  # labels do not depend on latents
    return np.concatenate([labels for _, labels in _draw_batches(sampler, count, _LATENTS_PER_DRAW)])


def _draw_batches(sampler: LatentSampler, count: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield `count` latents and labels of consecutive draws, `batch_size` at a time."""
    latents: np.ndarray = np.zeros((0, sampler.latent_dim), np.float32)
    labels: np.ndarray = np.zeros(0, np.int32)
    draw = 0
    for start in range(0, count, batch_size):
        size = min(batch_size, count - start)
        while len(labels) < size:
            more = sampler.draw(compute_evaluation_draw_number(draw))
            latents, labels = np.concatenate([latents, more[0]]), np.concatenate([labels, more[1]])
            draw += 1
        yield latents[:size], labels[:size]
        latents, labels = latents[size:], labels[size:]


def show_progress(batches: Iterable[FeatureBatch], count: int, description: str) -> Iterator[FeatureBatch]:
    """Yield the batches of `count` images and show a progress bar."""
    with progress_bar(count, unit="image", description=description) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch.labels))
