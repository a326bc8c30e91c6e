"""Flags that have an effect only together with other flags: one table for each command.

Whoever sets a flag expects something of it, so a flag that cannot change anything is an error. The tables judge by the
flags alone, never by the machine or by files: a configuration that fits one machine fits all. A flag that has its
default value is never an error, so that a run's `flags.cfg`, which lists every flag, replays the run.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sagan_tf.errors import UserError
from sagan_tf.text import join_comma_list

__all__ = ["CLIENT", "EVALUATE", "EXPORT", "PREPARE_IMAGENET", "SAMPLE", "TRAIN", "check_effects", "check_options"]


@dataclasses.dataclass(frozen=True)
class Effect:
    """A row of a table: what some flags need in order to change anything.

    Attributes:
        flags: Their names.
        needs: The flags with which they have an effect, for the message.
        holds: Whether that is so; called with an object that has the value of every flag as an attribute.
    """

    flags: tuple[str, ...]
    needs: str
    holds: Callable[[Any], bool]


def check_effects(
    table: tuple[Effect, ...], values: Mapping[str, Any], defaults: Mapping[str, Any], kept: Collection[str] = ()
) -> None:
    """Check that every flag with another value than its default has an effect.

    Args:
        table: The command's rows.
        values: The value of every flag by name, and whatever else the rows ask for.
        defaults: The default values of the flags that are checked.
        kept: Names of flags that are not checked.

    Raises:
        UserError: A flag has no effect; the message names the flag, and those with which it has one.
    """
    flags = types.SimpleNamespace(**values)
    for effect in table:
        for name in effect.flags:
            if name in kept or name not in defaults or values[name] == defaults[name] or effect.holds(flags):
                continue
            raise UserError(
                f"{name}: --{name}={_shown(values[name])} changes nothing here; it has an effect with {effect.needs}"
            )


def check_options(
    table: tuple[Effect, ...], *options: Any, kept: Collection[str] = (), facts: Mapping[str, Any] | None = None
) -> None:
    """Check the flags in dataclasses; see `check_effects`.

    Args:
        table: The command's rows.
        *options: Objects whose fields are the flags.
        kept: Names of flags that are not checked.
        facts: What else the rows ask for.
    """
    fields = {field.name: (field, getattr(one, field.name)) for one in options for field in dataclasses.fields(one)}
    values = {name: value for name, (_, value) in fields.items()}
    check_effects(table, values | dict(facts or {}), {name: field.default for name, (field, _) in fields.items()}, kept)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return join_comma_list(map(str, value)) if isinstance(value, tuple) else str(value)


def _has_attention(flags: Any) -> bool:
    networks = flags.generator_attention_resolutions, flags.discriminator_attention_resolutions
    return any(flags.attention_resolutions if sizes is None else sizes for sizes in networks)


def _has_unsized_metric(names: tuple[str, ...]) -> bool:
    return not all(_SIZED.search(name) for name in names)


def _reads_data_dir(flags: Any) -> bool:
    if flags.run_dir:  # without --reference its own, which may be the split that it trains on
        return flags.is_compared and (not flags.resolved_reference or ":" in flags.resolved_reference)
    return not flags.is_folder or ":" in flags.reference


_SIZED = re.compile(r"\dk$")
_A_METRIC = "a metric without a number in --metrics, such as fid"
_PACKAGED = "fashion_mnist_10k"
_PACKAGED_EXTRACTORS = ("fashion_mnist", "efficientnet_lite0")
_ROWS_ARE_CLASSES = ("grid", "truncation", "interpolation")
_PLACEMENT = (
    Effect(("logical_cpus",), "--strategy=auto or mirrored", lambda flags: flags.strategy in ("auto", "mirrored")),
)
# With the fact `is_compared`, since a run may fill in what the flags leave empty.
_REFERENCE = (
    Effect(("reference", "reference_dir"), "a metric that compares with real images", lambda flags: flags.is_compared),
    Effect(("reference_dir",), "a --reference other than a file", lambda flags: not flags.reference.endswith(".npz")),
)

TRAIN = (
    *_PLACEMENT,
    Effect(("data_dir",), "a --dataset other than fashion_mnist_10k", lambda flags: flags.dataset != _PACKAGED),
    Effect(("split",), "a --dataset other than folder", lambda flags: flags.dataset != "folder"),
    Effect(
        ("shuffle_buffer_size",),
        "--dataset=tfrecord or the name of a TFDS data set",
        lambda flags: flags.dataset not in ("folder", _PACKAGED),
    ),
    Effect(
        ("attention_resolutions",),
        "generator_attention_resolutions or discriminator_attention_resolutions unset",
        lambda flags: None in (flags.generator_attention_resolutions, flags.discriminator_attention_resolutions),
    ),
    Effect(("attention_form", "attention_block"), "--attention_resolutions that are not empty", _has_attention),
    Effect(
        ("spectral_norm_constraint", "spectral_norm_power_iterations", "spectral_norm_epsilon"),
        "--generator_spectral_norm or --discriminator_spectral_norm",
        lambda flags: flags.generator_spectral_norm or flags.discriminator_spectral_norm,
    ),
    # The blocks of dcgan are not residual, and only residual blocks have several forms of computation.
    Effect(("resampling",), "an --architecture other than dcgan", lambda flags: flags.architecture != "dcgan"),
    # 0 is allowed: without averaging it changes nothing.
    Effect(("ema_start_step",), "--ema_decay above 0", lambda flags: flags.ema_decay > 0 or flags.ema_start_step == 0),
    Effect(("ema_decay", "ema_start_step"), "--ema_half_life_images=0", lambda flags: not flags.ema_half_life_images),
    Effect(("ema_ramp_up",), "--ema_half_life_images above 0", lambda flags: flags.ema_half_life_images),
    Effect(
        ("learning_rate_decay_start", "learning_rate_decay_steps"),
        "--learning_rate_schedule=linear or cosine",
        lambda flags: flags.learning_rate_schedule != "constant",
    ),
    Effect(("ada_target",), "a non-empty --augment", lambda flags: flags.augment),
    # The sign of a logit tells real from fake only where the loss draws real logits above 0 and fake ones below.
    Effect(
        ("ada_target",),
        "--loss=hinge or non_saturating",
        lambda flags: flags.loss in ("hinge", "non_saturating"),
    ),
    Effect(("ada_speed_images",), "--ada_target above 0", lambda flags: flags.ada_target > 0),
    Effect(
        ("gradient_penalty_final_fraction", "gradient_penalty_anneal_steps"),
        "--r1_weight or --r2_weight above 0",
        lambda flags: flags.r1_weight or flags.r2_weight,
    ),
    Effect(
        ("gradient_penalty_final_fraction",),
        "--gradient_penalty_anneal_steps above 0",
        lambda flags: flags.gradient_penalty_anneal_steps,
    ),
    Effect(
        ("gradient_penalty_anneal_steps",),
        "--gradient_penalty_final_fraction below 1",
        lambda flags: flags.gradient_penalty_final_fraction < 1,
    ),
    Effect(("class_margin_weight",), "--conditioning=projection", lambda flags: flags.conditioning == "projection"),
    Effect(
        ("latent_noise",),
        "--latent_consistency_weight or --latent_diversity_weight above 0",
        lambda flags: flags.latent_consistency_weight or flags.latent_diversity_weight,
    ),
    Effect(("generator_top_k_decay_steps",), "--generator_top_k below 1", lambda flags: flags.generator_top_k < 1),
    Effect(("max_rollbacks",), "--on_non_finite=rollback", lambda flags: flags.on_non_finite == "rollback"),
    # The other flags of evaluations are those that sagan_tf.evaluate takes from the run.
    Effect(
        ("reference_dir", "num_samples", "evaluation_batch_size", "collapse_patience"),
        "--evaluate_every above 0",
        lambda flags: flags.evaluate_every > 0,
    ),
    Effect(("num_samples",), _A_METRIC, lambda flags: _has_unsized_metric(flags.metrics)),
    Effect(("evaluation_labels",), "a --conditioning other than none", lambda flags: flags.conditioning != "none"),
    *_REFERENCE,
    Effect(("inception_dir",), "--extractor=inception", lambda flags: flags.extractor in ("", "inception")),
    Effect(
        ("extractor_features", "extractor_logits"),
        "--extractor=inception or the directory of a SavedModel",
        lambda flags: flags.extractor not in _PACKAGED_EXTRACTORS,
    ),
)

EVALUATE = (
    *_PLACEMENT,
    Effect(
        ("checkpoint", "generator_weights", "seed", "num_samples", "evaluation_labels"),
        "--run_dir",
        lambda flags: flags.run_dir,
    ),
    Effect(("evaluation_labels",), "a run with classes", lambda flags: flags.has_classes),
    Effect(("image_channels",), "--images", lambda flags: flags.images),
    Effect(("resolution",), "--images=DATASET:SPLIT", lambda flags: flags.images and not flags.is_folder),
    Effect(
        ("data_dir",),
        "--images=DATASET:SPLIT, --reference=DATASET:SPLIT, or a run that is compared with its own data",
        _reads_data_dir,
    ),
    Effect(("evaluate_every", "collapse_patience"), "sagan_tf.train", lambda flags: False),
    Effect(("num_samples",), _A_METRIC, lambda flags: _has_unsized_metric(flags.resolved_metrics)),
    *_REFERENCE,
    Effect(("inception_dir",), "--extractor=inception", lambda flags: flags.resolved_extractor == "inception"),
    Effect(
        ("extractor_features", "extractor_logits"),
        "--extractor=inception or the directory of a SavedModel",
        # Without --extractor a run's own --extractor, --extractor_features and --extractor_logits are used together.
        lambda flags: (
            flags.resolved_extractor not in _PACKAGED_EXTRACTORS and not (flags.run_dir and not flags.extractor)
        ),
    ),
)
"""Facts, not flags: `is_folder` (of --images), `has_classes` (of the run), `is_compared`, and what is used in the end:
`resolved_metrics`, `resolved_extractor` and `resolved_reference`."""


def _modes(flags: str, *modes: str) -> Effect:
    return Effect(tuple(flags.split()), f"--mode={' or '.join(modes)}", lambda given: given.mode in modes)


def _generates(flags: Any) -> bool:
    return flags.mode != "attention" or flags.network == "generator"


SAMPLE = (
    *_PLACEMENT,
    _modes("num_samples", "grid", "images", "interpolation", "truncation", "nearest", "attention"),
    _modes("columns", "grid", "classes", "interpolation", "nearest"),
    _modes("truncation", "grid", "images", "classes", "interpolation", "nearest", "attention"),
    _modes("truncations", "truncation"),
    _modes("between", "interpolation"),
    _modes("network queries", "attention"),
    _modes("data_dir", "nearest", "attention"),
    _modes("extractor inception_dir", "nearest"),
    _modes("shard", "images"),
    Effect(("inception_dir",), "--extractor=inception", lambda flags: flags.extractor in ("", "inception")),
    Effect(("queries",), "an --output other than .html", lambda flags: not flags.output.lower().endswith(".html")),
    # The discriminator is shown training images.
    Effect(("truncation", "standing_batches", "generator_weights", "batch_size"), "--network=generator", _generates),
    Effect(("data_dir",), "--network=discriminator", lambda flags: flags.mode == "nearest" or not _generates(flags)),
    Effect(("checkpoint", "generator_weights", "strategy", "logical_cpus"), "--run_dir", lambda flags: flags.run_dir),
    Effect(
        ("num_samples",),
        "no --labels (each label is a row)",
        lambda flags: not flags.labels or flags.mode not in _ROWS_ARE_CLASSES or flags.between == "classes",
    ),
)

EXPORT = (
    Effect(
        ("resampling",),
        "--formats=saved_model or --discriminator",
        lambda flags: "saved_model" in flags.formats or flags.discriminator,
    ),
    Effect(
        ("tflite_precisions", "parity_samples", "largest_mean_error"),
        "--formats=tflite",
        lambda flags: "tflite" in flags.formats,
    ),
)

CLIENT = (
    Effect(("columns",), "an --output that ends in .png", lambda flags: flags.output.lower().endswith(".png")),
    Effect(
        ("num_samples",), "an --output that is a directory", lambda flags: not flags.output.lower().endswith(".png")
    ),
)

PREPARE_IMAGENET = (
    Effect(("quality",), "--format=jpeg", lambda flags: flags.format == "jpeg"),
    *(effect for effect in TRAIN if effect.flags in (("data_dir",), ("shuffle_buffer_size",))),
)
