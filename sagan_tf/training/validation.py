"""Checks of a run's configuration, without and with its data."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS
from sagan_tf.config import Config
from sagan_tf.config.dependent_options import TRAIN, check_dependent_fields
from sagan_tf.config.option import check_registered
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.distribution.strategy import check_batch_size, check_jit_compile
from sagan_tf.errors import UserError
from sagan_tf.layers.attention_forms import ATTENTION_FORMS
from sagan_tf.losses import LOSSES
from sagan_tf.networks.architectures import find_stages
from sagan_tf.networks.attention_blocks import ATTENTION_BLOCKS, is_attention_blockwise
from sagan_tf.networks.discriminator import POOLINGS
from sagan_tf.schedules import LEARNING_RATE_SCHEDULES
from sagan_tf.training.fine_tuning.frozen_blocks import check_number_of_frozen_blocks
from sagan_tf.training.label_sampling import check_label_sampling


def check_config(config: Config) -> None:
    """Check a configuration before any data is opened.

    Args:
        config: The run.

    Raises:
        UserError: The configuration cannot work.
    """
    find_stages(config.model)
    check_registered("attention_block", config.model.attention_block, ATTENTION_BLOCKS)
    check_registered("attention_form", config.model.attention_form, ATTENTION_FORMS)
    check_registered("discriminator_pooling", config.model.discriminator_pooling, POOLINGS)
    check_registered("loss", config.training.loss, LOSSES)
    check_registered("learning_rate_schedule", config.training.learning_rate_schedule, LEARNING_RATE_SCHEDULES)
    check_number_of_frozen_blocks(config)
    _check_gradient_penalty(config)
    check_label_sampling(config)
    schedule = config.training.learning_rate_schedule
    if schedule != "constant" and not config.training.learning_rate_decay_steps:
        raise UserError(
            f"learning_rate_decay_steps: expected a number above 0 with --learning_rate_schedule={schedule}, received 0"
        )
    names = config.training.augment
    if not set(names) <= set(AUGMENTATIONS) or len(set(names)) < len(names):
        raise UserError(
            f"augment: expected a comma-separated list of {', '.join(AUGMENTATIONS)}, each at most once, "
            f"received {','.join(names)!r}"
        )


def check_flags(config: Config, unchecked: Collection[str] = ()) -> None:
    """Check that every flag has an effect together with the other flags.

    Args:
        config: The run.
        unchecked: Names of flags that are not checked.

    Raises:
        UserError: A flag has no effect.
    """
    parts = [getattr(config, field.name) for field in dataclasses.fields(config)]
    check_dependent_fields(
        TRAIN, *parts, unchecked=unchecked, facts={"needs_real_images": config.evaluation.needs_real_images}
    )


def _check_gradient_penalty(config: Config) -> None:
    """Raise UserError for an impossible gradient penalty.

    The discriminator must have second derivatives that do not overflow.
    """
    regularization = config.regularization
    names = [name for name in ("r1_weight", "r2_weight") if getattr(regularization, name)]
    if names and config.training.precision == "mixed_float16":
        raise UserError(
            f"{names[0]}: expected --precision=float32 or mixed_bfloat16, received mixed_float16, in which squared "
            "gradients overflow"
        )
    large = [size for size in config.model.discriminator_attention if is_attention_blockwise(config.model, size)]
    if names and large:
        raise UserError(
            f"{names[0]}: cannot be used with discriminator attention at {large[0]}, which is computed in blocks and "
            "has no second derivative; use attention at 32 or below, or at 64 or below with --attention_form=pooled"
        )


def open_checked_data(config: Config, strategy: tf.distribute.Strategy) -> tuple[Source, Config]:
    """Open the training images and check that the configuration fits them and the devices.

    Args:
        config: The run.
        strategy: The strategy of the run.

    Returns:
        The training images, and the configuration with the number of classes.

    Raises:
        UserError: The data cannot be opened, or the configuration does not fit.
    """
    check_jit_compile(config.training, strategy)
    check_batch_size(config.training, strategy.num_replicas_in_sync, config.model.discriminator_minibatch_statistics)
    source = open_source(config.data, resolution=config.model.resolution, image_channels=config.model.image_channels)
    return source, resolve_classes(config, source)


def resolve_classes(config: Config, source: Source) -> Config:
    """Set `num_classes` from the data and check the labels.

    Args:
        config: The run.
        source: The training images.

    Returns:
        The configuration with the number of classes.

    Raises:
        UserError: Another number of classes is configured, or conditioning on labels is configured and the images have
            no labels.
    """
    num_classes, configured = len(source.class_names), config.model.num_classes
    if not config.model.uses_classes:
        num_classes = 0
    elif not num_classes:
        raise UserError(
            f"conditioning: expected none, since {source.name} has no labels, received {config.model.conditioning}"
        )
    if configured not in (0, num_classes):
        raise UserError(
            f"num_classes: expected {num_classes} for {source.name} (0 takes it from the data), received {configured}"
        )
    if config.regularization.class_margin_weight and num_classes < 2:
        raise UserError(
            f"class_margin_weight: expected at least 2 classes, found {num_classes} in {source.name}; pass "
            "--class_margin_weight=0"
        )
    return dataclasses.replace(config, model=dataclasses.replace(config.model, num_classes=num_classes))
