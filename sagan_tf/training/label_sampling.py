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


def describe_remedy(loss: str, *, has_empty_class: bool, is_exact: bool) -> str:
    """Return what unbalanced classes mean with `uniform`, and which value of `label_sampling` changes it.

    Args:
        loss: The option `loss`.
        has_empty_class: Whether a class has no images.
        is_exact: Whether the images of all classes were counted.
    """
    is_paired = isinstance(LOSSES[loss], PairedLoss)
    values = [] if has_empty_class else [BALANCED]
    values += [DATA] if is_exact and not is_paired else []
    if is_paired:
        meaning = f"With --loss={loss}, real and fake images of small classes are rare alike"
    else:
        meaning = "The labels of fake images are uniform, and those of real images are not"
    if not values:
        return f"{meaning}. Add images of the empty class, or remove the class"
    purpose = "To draw all classes equally often" if is_paired else "To draw both alike"
    return f"{meaning}. {purpose}, start the run with --label_sampling={' or '.join(values)}"


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
