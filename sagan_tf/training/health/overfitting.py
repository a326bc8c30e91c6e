"""Overfitting of the discriminator, measured with held-out real images.

A discriminator that has memorized its training images gives them high logits, and gives held-out images the same logits
as generated images. The ratio is r_v in equation 1 of Karras et al., Training Generative Adversarial Networks with
Limited Data (NeurIPS 2020), here computed within classes, so that the sets may have different proportions of classes.
All images are augmented as in training. Each reading uses the same random numbers, and the images of all three sets
have the same ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sagan_tf.augmentation import RandomAugmentation
from sagan_tf.config import Config
from sagan_tf.config.dependent_options.common import is_split_in_data_dir
from sagan_tf.data.image_sets import is_directory, open_images
from sagan_tf.data.images.preprocessing import scale_to_unit_range
from sagan_tf.data.run_classes import check_is_not_trained_on, get_selected_classes, keep_classes
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.generation.inference import generate_images
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.text import format_names, normalize_name, normalize_names
from sagan_tf.training.adaptive_augmentation import create_training_augmentation
from sagan_tf.training.health.fixed_augmentation import FixedAugmentation
from sagan_tf.training.health.logit_gaps import compute_gap_within_classes
from sagan_tf.training.health.readings import read_representative_sample
from sagan_tf.training.health.signs import HELD_OUT_GAP, OVERFITTING
from sagan_tf.training.state import TrainState

MAX_IMAGES = 256
"""Largest number of images in each set. The standard error of the difference of two mean logits is then 0.09 standard
deviations."""
_BATCH_SIZE = 16
_MIN_STANDARD_ERRORS = 4.0
"""Smallest lead of training over generated images, in standard errors of the held-out gap, for which the ratio is
computed: one standard error of the gap then changes the ratio by at most 1/4."""
_MAX_SHOWN_NAMES = 3


class LabeledImages(NamedTuple):
    """Images with labels in host memory.

    The memory of a GPU is left to the networks.

    Attributes:
        images: uint8 [n, R, R, C].
        labels: int32 [n]; 0 if labels are not used.
    """

    images: np.ndarray
    labels: np.ndarray


def open_overfitting_reader(config: Config, source: Source, state: TrainState) -> OverfittingReader | None:
    """Create the reader for the images of the option `held_out`.

    Args:
        config: The run.
        source: The training images.
        state: The state with the networks.

    Returns:
        The reader; None if the option is empty.

    Raises:
        UserError: The held-out images cannot be read, are the training images, or have a class that the training
            images do not have.
    """
    text, model = config.data.held_out, config.model
    if not text:
        return None
    if config.data.dataset == "folder" and not is_directory(text) and is_split_in_data_dir(text):
        raise UserError(
            f"held_out: expected a directory of images, because --data_dir of --dataset=folder has no data sets; "
            f"received {text}"
        )
    size = {"resolution": model.resolution, "image_channels": model.image_channels}
    held_out = open_images("held_out", text, data_dir=config.data.data_dir, **size)
    check_is_not_trained_on(text, held_out, source)
    held_out = keep_classes("held_out", text, held_out, get_selected_classes(config.data, source.class_names))
    names = source.class_names if model.num_classes else ()
    group = max(1, model.discriminator_minibatch_statistics)
    try:
        samples = [sample_labeled_images(images, names, multiple_of=group) for images in (source, held_out)]
    except UserError as error:
        raise UserError(f"held_out={text}: {error}") from error
    augmentation = create_training_augmentation(config.training.augment, state.augment_probability)
    return OverfittingReader(state, *samples, seed=config.training.seed, group_size=group, augmentation=augmentation)


def sample_labeled_images(source: Source, class_names: tuple[str, ...], *, multiple_of: int = 1) -> LabeledImages:
    """Read a representative sample of a data set, at most `MAX_IMAGES` images.

    Args:
        source: The data set.
        class_names: The classes whose indices are the labels; empty if labels are not used.
        multiple_of: The number of images is a multiple of this, unless the data set has fewer images.

    Returns:
        The images.

    Raises:
        UserError: The data set has a class that is not among `class_names`, or no readable image.
    """
    indices = _find_class_indices(source, class_names)
    examples = read_representative_sample(source, MAX_IMAGES)
    examples = examples[: len(examples) // multiple_of * multiple_of] or examples
    labels = [indices[example["label"]] if class_names else 0 for example in examples]
    return LabeledImages(np.stack([example["image"] for example in examples]), np.array(labels, np.int32))


def _find_class_indices(source: Source, class_names: tuple[str, ...]) -> list[int]:
    """Return the index among `class_names` of each class of `source`."""
    if not class_names:
        return []
    known = normalize_names(class_names)
    unknown = [name for name in source.class_names if normalize_name(name) not in known]
    if unknown or not source.class_names:
        received = repr(unknown[0]) if unknown else "images without labels"
        raise UserError(
            f"expected the classes of the training images ({format_names(class_names, _MAX_SHOWN_NAMES)}), received "
            f"{received}"
        )
    return [known.index(name) for name in normalize_names(source.class_names)]


class OverfittingReader:
    """Reader of the overfitting scalars, which changes no random state.

    Args:
        state: The state with the networks.
        training: Images that the discriminator is trained on.
        held_out: Images of the same kind that the discriminator is not trained on.
        seed: The seed of the augmentation, and of the first latent vector of the generated images. These have the
            labels of the training images.
        group_size: The number of images that the discriminator compares with each other.
        augmentation: The augmentation in training.
    """

    def __init__(
        self,
        state: TrainState,
        training: LabeledImages,
        held_out: LabeledImages,
        *,
        seed: int,
        group_size: int = 1,
        augmentation: RandomAugmentation,
    ) -> None:
        self._state = state
        self._training = training
        self._held_out = held_out
        self._num_rows = max(len(training.labels), len(held_out.labels))
        self._augment = FixedAugmentation(augmentation, seed=seed, num_rows=self._num_rows)
        self._batch_size = group_size * max(1, _BATCH_SIZE // group_size)
        self._latents = draw_latents_from_seeds(
            seed + np.arange(len(training.labels)), state.generator.inputs[0].shape[1]
        )

    def __call__(self) -> dict[str, float | None]:
        """Return the held-out gap and the overfitting ratio, or None if undefined.

        The gap is undefined if the sets have no class in common. The ratio is undefined if the discriminator hardly
        distinguishes training images from generated images.
        """
        labels, held_out_labels = self._training.labels, self._held_out.labels
        generated = generate_images(self._state.generator, self._latents, tf.constant(labels))
        training = self._compute_logits(lambda part: scale_to_unit_range(self._training.images[part]), labels)
        held_out = self._compute_logits(lambda part: scale_to_unit_range(self._held_out.images[part]), held_out_labels)
        fake = self._compute_logits(lambda part: tf.constant(generated[part]), labels)
        gap = compute_gap_within_classes(training, labels, held_out, held_out_labels, weighted_by=held_out_labels)
        if gap is None:
            return {HELD_OUT_GAP: None, OVERFITTING: None}
        lead = compute_gap_within_classes(training, labels, fake, labels, weighted_by=held_out_labels)
        is_leading = lead is not None and lead.mean > _MIN_STANDARD_ERRORS * gap.error
        return {HELD_OUT_GAP: gap.mean, OVERFITTING: gap.mean / lead.mean if lead and is_leading else None}

    def _compute_logits(self, images: Callable[[slice], tf.Tensor], labels: np.ndarray) -> np.ndarray:
        """Return the logits, float64 [n], of images that are read batch by batch.

        Images of the smaller set are augmented several times, and their logits are averaged. So all sets are augmented
        with the same random numbers, and with few images the reading does not depend on single augmentations.
        """
        num_images = len(labels)
        repeats = [
            self._compute_augmented_logits(images, labels, k * num_images) for k in range(self._num_rows // num_images)
        ]
        return np.mean(repeats, axis=0)

    def _compute_augmented_logits(
        self, images: Callable[[slice], tf.Tensor], labels: np.ndarray, row: int
    ) -> np.ndarray:
        """Return logits, float64 [n], of augmented images.

        The first image is augmented with the random numbers of `row`.
        """
        outputs = []
        for first in range(0, len(labels), self._batch_size):
            part = slice(first, min(first + self._batch_size, len(labels)))
            augmented = self._augment(images(part), row + first)
            outputs.append(self._state.discriminator([augmented, tf.constant(labels[part])], training=False))
        return np.concatenate([tf.nest.flatten(output)[0].numpy().ravel() for output in outputs]).astype(np.float64)
