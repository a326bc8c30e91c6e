"""Options of sagan_tf.train that have an effect only together with other options."""

from __future__ import annotations

from typing import Any

from sagan_tf.config.dependent_options.common import (
    DEVICE_DEPENDENCIES,
    HELD_OUT_METRIC_CONDITION,
    PACKAGED_DATASET,
    REFERENCE_DEPENDENCIES,
    UNSIZED_METRIC_CONDITION,
    has_held_out_metric,
    has_unsized_metric,
    is_split_in_data_dir,
)
from sagan_tf.config.dependent_options.dependency import Dependency
from sagan_tf.config.option_names import PACKAGED_EXTRACTORS


def _has_attention(options: Any) -> bool:
    networks = options.generator_attention_resolutions, options.discriminator_attention_resolutions
    return any(options.attention_resolutions if sizes is None else sizes for sizes in networks)


DRY_RUN = (Dependency(("dry_run_output",), "--dry_run", lambda options: options.dry_run),)
"""Options of `sagan_tf.train` that are not options of the run."""
TRAIN = (
    *DEVICE_DEPENDENCIES,
    # On a TPU, updates are always compiled.
    Dependency(("jit_compile",), "a --strategy other than tpu", lambda options: options.strategy != "tpu"),
    Dependency(
        ("collectives",),
        "--strategy=auto or multi_worker",
        lambda options: options.strategy in ("auto", "multi_worker"),
    ),
    Dependency(
        ("data_dir",),
        "a --dataset, --held_out or --reference that is read from --data_dir, unlike fashion_mnist_10k",
        lambda options: (
            options.dataset != PACKAGED_DATASET
            or is_split_in_data_dir(options.held_out)
            or is_split_in_data_dir(options.reference)
        ),
    ),
    Dependency(("split",), "a --dataset other than folder", lambda options: options.dataset != "folder"),
    Dependency(
        ("shuffle_buffer_size",),
        "--dataset=tfrecord or the name of a TFDS data set",
        lambda options: options.dataset not in ("folder", PACKAGED_DATASET),
    ),
    Dependency(
        ("held_out",),
        f"a --health_every other than 0, or {HELD_OUT_METRIC_CONDITION}",
        lambda options: options.health_every != 0 or has_held_out_metric(options.metrics),
    ),
    Dependency(
        ("attention_resolutions",),
        "--generator_attention_resolutions or --discriminator_attention_resolutions unset",
        lambda options: None in (options.generator_attention_resolutions, options.discriminator_attention_resolutions),
    ),
    Dependency(("attention_form", "attention_block"), "a non-empty --attention_resolutions", _has_attention),
    Dependency(
        ("spectral_norm_constraint", "spectral_norm_power_iterations", "spectral_norm_epsilon"),
        "--generator_spectral_norm or --discriminator_spectral_norm",
        lambda options: options.generator_spectral_norm or options.discriminator_spectral_norm,
    ),
    # The blocks of dcgan are not residual, and only residual blocks can be computed in several ways.
    Dependency(("resampling",), "an --architecture other than dcgan", lambda options: options.architecture != "dcgan"),
    # Without an average, a start at step 0 is no contradiction.
    Dependency(
        ("ema_start_step",), "--ema_decay above 0", lambda options: options.ema_decay > 0 or options.ema_start_step == 0
    ),
    Dependency(
        ("ema_decay", "ema_start_step"), "--ema_half_life_images=0", lambda options: not options.ema_half_life_images
    ),
    Dependency(("ema_ramp_up",), "--ema_half_life_images above 0", lambda options: options.ema_half_life_images),
    Dependency(
        ("learning_rate_decay_start", "learning_rate_decay_steps"),
        "a --learning_rate_schedule other than constant",
        lambda options: options.learning_rate_schedule != "constant",
    ),
    Dependency(("ada_target",), "a non-empty --augment", lambda options: options.augment),
    # The sign of a logit separates real from fake only if the loss drives real logits above 0 and fake logits below 0.
    Dependency(
        ("ada_target",),
        "--loss=hinge or non_saturating",
        lambda options: options.loss in ("hinge", "non_saturating"),
    ),
    Dependency(("ada_speed_images",), "--ada_target above 0", lambda options: options.ada_target > 0),
    Dependency(
        ("gradient_penalty_final_fraction", "gradient_penalty_anneal_steps"),
        "--r1_weight or --r2_weight above 0",
        lambda options: options.r1_weight or options.r2_weight,
    ),
    Dependency(
        ("gradient_penalty_final_fraction",),
        "--gradient_penalty_anneal_steps above 0",
        lambda options: options.gradient_penalty_anneal_steps,
    ),
    Dependency(
        ("gradient_penalty_anneal_steps",),
        "--gradient_penalty_final_fraction below 1",
        lambda options: options.gradient_penalty_final_fraction < 1,
    ),
    Dependency(
        ("lecam_clip", "lecam_decay", "lecam_start_step"),
        "--lecam_weight above 0",
        lambda options: options.lecam_weight,
    ),
    Dependency(
        ("class_margin_weight",), "--conditioning=projection", lambda options: options.conditioning == "projection"
    ),
    Dependency(
        ("latent_noise",),
        "--latent_consistency_weight or --latent_diversity_weight above 0",
        lambda options: options.latent_consistency_weight or options.latent_diversity_weight,
    ),
    Dependency(
        ("generator_top_k_decay_steps",), "--generator_top_k below 1", lambda options: options.generator_top_k < 1
    ),
    # Images can be balanced for networks without labels too.
    Dependency(
        ("label_sampling",),
        "a --conditioning other than none",
        lambda options: options.conditioning != "none" or options.label_sampling == "balanced",
    ),
    Dependency(("class_map", "freeze_discriminator"), "--init_from", lambda options: bool(options.init_from)),
    Dependency(("class_map",), "a --conditioning other than none", lambda options: options.conditioning != "none"),
    Dependency(("max_rollbacks",), "--on_non_finite=rollback", lambda options: options.on_non_finite == "rollback"),
    # The other options of evaluations also have an effect on sagan_tf.evaluate, which takes them from the run.
    Dependency(
        ("reference_dir", "num_samples", "evaluation_batch_size", "collapse_patience"),
        "--evaluate_every above 0",
        lambda options: options.evaluate_every > 0,
    ),
    Dependency(("num_samples",), UNSIZED_METRIC_CONDITION, lambda options: has_unsized_metric(options.metrics)),
    Dependency(
        ("evaluation_labels",), "a --conditioning other than none", lambda options: options.conditioning != "none"
    ),
    *REFERENCE_DEPENDENCIES,
    Dependency(("inception_dir",), "--extractor=inception", lambda options: options.extractor in ("", "inception")),
    Dependency(
        ("extractor_features", "extractor_logits"),
        "--extractor=inception or the directory of a SavedModel",
        lambda options: options.extractor not in PACKAGED_EXTRACTORS,
    ),
)
