"""Checks of a run's configuration, alone and together with its data."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from sagan_tf.augmentation import AUGMENTATIONS
from sagan_tf.config import Config
from sagan_tf.config.dependent_options import TRAIN, check_dependent_fields
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.losses import LOSSES
from sagan_tf.networks.architectures import find_stages
from sagan_tf.networks.attention_blocks import is_attention_blockwise


def check_config(config: Config) -> None:
    """Raise UserError for a configuration that cannot work, before any data is opened."""
    find_stages(config.model)
    if config.training.loss not in LOSSES:
        raise UserError(f"loss: expected one of {', '.join(LOSSES)}, received {config.training.loss!r}")
    _check_gradient_penalty(config)
    schedule = config.training.learning_rate_schedule
    if schedule != "constant" and not config.training.learning_rate_decay_steps:
        raise UserError(
            f"learning_rate_decay_steps: expected above 0 with --learning_rate_schedule={schedule}, received 0"
        )
    names = config.training.augment
    if not set(names) <= set(AUGMENTATIONS) or len(set(names)) < len(names):
        raise UserError(
            f"augment: expected a comma list of {', '.join(AUGMENTATIONS)}, each at most once, "
            f"received {','.join(names)!r}"
        )


def check_flags(config: Config, kept: Collection[str] = ()) -> None:
    """Raise UserError for a flag that has no effect with the others; flags named in `kept` are not checked."""
    parts = [getattr(config, field.name) for field in dataclasses.fields(config)]
    check_dependent_fields(TRAIN, *parts, kept=kept, facts={"is_compared": config.evaluation.is_compared})


def _check_gradient_penalty(config: Config) -> None:
    """Raise UserError where the discriminator cannot be differentiated twice."""
    regularization = config.regularization
    on = [name for name in ("r1_weight", "r2_weight") if getattr(regularization, name)]
    if on and config.training.precision == "mixed_float16":
        raise UserError(
            f"{on[0]}: expected --precision=float32 or mixed_bfloat16, received mixed_float16, in which squared "
            "gradients overflow"
        )
    large = [size for size in config.model.discriminator_attention if is_attention_blockwise(config.model, size)]
    if on and large:
        raise UserError(
            f"{on[0]}: cannot be used with discriminator attention at {large[0]}, which is computed in blocks and has "
            "no second derivative; use attention at 32 or below, or at 64 or below with --attention_form=pooled"
        )


def resolve_classes(config: Config, source: Source) -> Config:
    """Set `num_classes` from the data, and check that its labels fit the configuration.

    Raises:
        UserError: Another number of classes is configured, or conditioning with images without labels.
    """
    found, given = len(source.class_names), config.model.num_classes
    if config.model.conditioning == "none":
        found = 0
    elif not found:
        raise UserError(
            f"conditioning: expected none, since {source.name} has no labels, received {config.model.conditioning}"
        )
    if given not in (0, found):
        raise UserError(f"num_classes: expected {found} for {source.name} (0 takes it from the data), received {given}")
    if config.regularization.class_margin_weight and found < 2:
        raise UserError(
            f"class_margin_weight: expected at least 2 classes, found {found} in {source.name}; pass "
            "--class_margin_weight=0"
        )
    return dataclasses.replace(config, model=dataclasses.replace(config.model, num_classes=found))
