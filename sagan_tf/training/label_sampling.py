"""The labels of real and fake images in training, as the option `label_sampling` sets them."""

from __future__ import annotations

from typing import NamedTuple

from sagan_tf.config import Config
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.losses import LOSSES, PairedLoss

UNIFORM, DATA, BALANCED = "uniform", "data", "balanced"


class SampledLabels(NamedTuple):
    """Real images and proportions of fake labels.

    Attributes:
        source: The training images in the order in which they are drawn.
        class_counts: Numbers in proportion to which fake labels are drawn; empty for uniform labels.
    """

    source: Source
    class_counts: tuple[int, ...]


def check_label_sampling(config: Config) -> None:
    """Raise UserError if `label_sampling` has no effect with the loss of a configuration."""
    training = config.training
    if training.label_sampling == DATA and isinstance(LOSSES[training.loss], PairedLoss):
        raise UserError(
            f"label_sampling: expected {UNIFORM} or {BALANCED} with --loss={training.loss}, whose fake images always "
            f"have the labels of the real ones, received {DATA}"
        )


def sample_labels(config: Config, source: Source) -> SampledLabels:
    """Prepare the real images and the proportions of fake labels of a run.

    Args:
        config: The run.
        source: The training images.

    Raises:
        UserError: The source has no exact class counts for `data`, or cannot be balanced.
    """
    sampling = config.training.label_sampling
    if sampling == BALANCED:
        return SampledLabels(source.balance(), ())
    if sampling != DATA:
        return SampledLabels(source, ())
    if source.class_counts_sample_size != source.num_examples:
        raise UserError(
            f"label_sampling: data needs the number of images of each class, but only "
            f"{source.class_counts_sample_size} of {source.num_examples} labels of {source.name} were counted; make "
            "record files with tools/prepare_imagenet.py, or pass uniform"
        )
    return SampledLabels(source, tuple(source.class_counts.tolist()))
