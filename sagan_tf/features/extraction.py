"""Features of images and of a generator's images, each replica of a strategy working on its share of every batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.data.pipeline import single_pass_dataset
from sagan_tf.data.sources.source import Source
from sagan_tf.distribution.per_replica import on_replicas
from sagan_tf.distribution.strategy import is_chief
from sagan_tf.distribution.worker_agreement import all_agree
from sagan_tf.features.extractors import Extractor
from sagan_tf.generation.latents import LatentSampler, evaluation_draw
from sagan_tf.keras_backend import keras
from sagan_tf.progress import progress_bar

_DRAWN_AT_ONCE = 1000
"""Latents. It is part of what an image is a function of, and so not the batch size."""


class Batch(NamedTuple):
    """Features float32 [n, d], logits float32 [n, classes] and labels int32 [n] of some images."""

    features: np.ndarray
    logits: np.ndarray
    labels: np.ndarray


class Extraction:
    """Runs an extractor under a strategy.

    Args:
        extractor: opened in the strategy's scope.
        strategy: where it runs.
        batch_size: images at once, over all replicas; rounded up to a multiple of their number.
    """

    def __init__(self, extractor: Extractor, strategy: tf.distribute.Strategy, batch_size: int) -> None:
        self.extractor = extractor
        self._strategy = strategy
        replicas = strategy.num_replicas_in_sync
        self.batch_size = -(-batch_size // replicas) * replicas
        # Kept: tracing an extractor takes as long as some images, and a run that trains is evaluated again and again.
        self._extract = self._on_replicas(extractor)
        self._generator: keras.Model | None = None

    @property
    def writes(self) -> bool:
        """Whether this process is the one of all workers that writes what they find together."""
        return is_chief(self._strategy)

    def all_agree(self, mine: bool) -> bool:
        """Return whether every worker says so: what they do together, all of them must do."""
        return all_agree(self._strategy, mine)

    def of_source(self, source: Source, count: int | None = None) -> Iterator[Batch]:
        """Features of the first `count` images (None: all) of a source, in its fixed random order.

        Raises:
            UserError: the source has more unreadable images than it may have.
        """
        self.extractor.check_channels(source.image_channels)
        left = source.num_examples if count is None else min(count, source.num_examples)
        with source.skipped.raising_user_errors():
            for batch in single_pass_dataset(source, batch_size=self.batch_size).as_numpy_iterator():
                images, labels = batch["images"][:left], batch["labels"][:left]
                left -= len(images)
                features, logits = self.of_images(images)
                yield Batch(features, logits, labels)
                if not left:
                    return

    def of_images(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features and logits of at most `batch_size` images, uint8 [n, height, width, channels]."""
        features, logits = self._extract(images)
        return features, logits

    def of_generator(
        self,
        generator: keras.Model,
        latent_dim: int,
        num_classes: int,
        count: int,
        seed: int,
        class_counts: tuple[int, ...] = (),
    ) -> Iterator[Batch]:
        """Features of `count` images of a generator at inference, rounded to 8 bits as a saved picture is.

        The i-th image is a function of `seed`, i and `class_counts` alone, whatever the batch size and the number of
        replicas. Labels are uniform, or with `class_counts` in these proportions; latents are the same in both cases.
        """
        self.extractor.check_channels(generator.output_shape[-1])
        sampler = LatentSampler(seed, latent_dim, num_classes, _DRAWN_AT_ONCE, class_counts)
        if generator is not self._generator:
            self._generator = generator
            self._of_latents = self._on_replicas(
                lambda latents, labels: self.extractor(to_uint8(generator([latents, labels], training=False)))
            )
        for latents, labels in _in_batches(sampler, count, self.batch_size):
            features, logits = self._of_latents(latents, labels)
            yield Batch(features, logits, labels)

    def _on_replicas(self, function: Callable[..., tuple[tf.Tensor, ...]]) -> Callable[..., list[np.ndarray]]:
        """Return a compiled function of a batch's arrays that every replica does its rows of."""
        run = tf.function(on_replicas(self._strategy, function), autograph=False)

        def on_batch(*arrays: np.ndarray) -> list[np.ndarray]:
            # Filled up with its own rows again: every replica gets as many, and the function is traced once.
            filled = [tf.constant(np.resize(one, (self.batch_size, *one.shape[1:]))) for one in arrays]
            with self._strategy.scope():
                return [one.numpy()[: len(arrays[0])] for one in run(*filled)]

        return on_batch


def draw_labels(num_classes: int, count: int, seed: int, class_counts: tuple[int, ...] = ()) -> np.ndarray:
    """Return the labels of the images of `Extraction.of_generator`, int32 [count], without making the images."""
    sampler = LatentSampler(seed, 1, num_classes, _DRAWN_AT_ONCE, class_counts)  # Labels do not depend on the latents.
    return np.concatenate([labels for _, labels in _in_batches(sampler, count, _DRAWN_AT_ONCE)])


def _in_batches(sampler: LatentSampler, count: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return the first `count` latents and labels of draw after draw, `batch_size` at a time."""
    latents: np.ndarray = np.zeros((0, sampler.latent_dim), np.float32)
    labels: np.ndarray = np.zeros(0, np.int32)
    draw = 0
    for start in range(0, count, batch_size):
        wanted = min(batch_size, count - start)
        while len(labels) < wanted:
            more = sampler.draw(evaluation_draw(draw))
            latents, labels = np.concatenate([latents, more[0]]), np.concatenate([labels, more[1]])
            draw += 1
        yield latents[:wanted], labels[:wanted]
        latents, labels = latents[wanted:], labels[wanted:]


def with_progress(batches: Iterable[Batch], count: int, what: str) -> Iterator[Batch]:
    """Return the batches, with a progress bar on a terminal: of `count` images, called `what`."""
    with progress_bar(count, unit="image", description=what) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch.labels))
