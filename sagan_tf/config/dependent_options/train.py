"""Flags of sagan_tf.train that have an effect only together with others."""

from __future__ import annotations

from typing import Any

from sagan_tf.config.dependent_options.common import (
    PACKAGED,
    PACKAGED_EXTRACTORS,
    PLACEMENT,
    REFERENCE,
    UNSIZED_METRIC,
    has_unsized_metric,
    names_split_in_data_dir,
)
from sagan_tf.config.dependent_options.dependency import Dependency


def _has_attention(flags: Any) -> bool:
    networks = flags.generator_attention_resolutions, flags.discriminator_attention_resolutions
    return any(flags.attention_resolutions if sizes is None else sizes for sizes in networks)


TRAIN = (
    *PLACEMENT,
    # On a TPU every update is compiled.
    Dependency(("jit_compile",), "a --strategy other than tpu", lambda flags: flags.strategy != "tpu"),
    Dependency(
        ("collectives",), "--strategy=auto or multi_worker", lambda flags: flags.strategy in ("auto", "multi_worker")
    ),
    Dependency(
        ("data_dir",),
        "a --dataset other than fashion_mnist_10k, or with --held_out or --reference that name the split of one",
        lambda flags: (
            flags.dataset != PACKAGED
            or names_split_in_data_dir(flags.held_out)
            or names_split_in_data_dir(flags.reference)
        ),
    ),
    Dependency(("split",), "a --dataset other than folder", lambda flags: flags.dataset != "folder"),
    Dependency(
        ("shuffle_buffer_size",),
        "--dataset=tfrecord or the name of a TFDS data set",
        lambda flags: flags.dataset not in ("folder", PACKAGED),
    ),
    Dependency(("held_out",), "a --health_every other than 0", lambda flags: flags.health_every != 0),
    Dependency(
        ("attention_resolutions",),
        "generator_attention_resolutions or discriminator_attention_resolutions unset",
        lambda flags: None in (flags.generator_attention_resolutions, flags.discriminator_attention_resolutions),
    ),
    Dependency(("attention_form", "attention_block"), "--attention_resolutions that are not empty", _has_attention),
    Dependency(
        ("spectral_norm_constraint", "spectral_norm_power_iterations", "spectral_norm_epsilon"),
        "--generator_spectral_norm or --discriminator_spectral_norm",
        lambda flags: flags.generator_spectral_norm or flags.discriminator_spectral_norm,
    ),
    # The blocks of dcgan are not residual, and only residual blocks have several forms of computation.
    Dependency(("resampling",), "an --architecture other than dcgan", lambda flags: flags.architecture != "dcgan"),
    # 0 is allowed: without averaging it changes nothing.
    Dependency(
        ("ema_start_step",), "--ema_decay above 0", lambda flags: flags.ema_decay > 0 or flags.ema_start_step == 0
    ),
    Dependency(
        ("ema_decay", "ema_start_step"), "--ema_half_life_images=0", lambda flags: not flags.ema_half_life_images
    ),
    Dependency(("ema_ramp_up",), "--ema_half_life_images above 0", lambda flags: flags.ema_half_life_images),
    Dependency(
        ("learning_rate_decay_start", "learning_rate_decay_steps"),
        "--learning_rate_schedule=linear or cosine",
        lambda flags: flags.learning_rate_schedule != "constant",
    ),
    Dependency(("ada_target",), "a non-empty --augment", lambda flags: flags.augment),
    # The sign of a logit tells real from fake only where the loss draws real logits above 0 and fake ones below.
    Dependency(
        ("ada_target",),
        "--loss=hinge or non_saturating",
        lambda flags: flags.loss in ("hinge", "non_saturating"),
    ),
    Dependency(("ada_speed_images",), "--ada_target above 0", lambda flags: flags.ada_target > 0),
    Dependency(
        ("gradient_penalty_final_fraction", "gradient_penalty_anneal_steps"),
        "--r1_weight or --r2_weight above 0",
        lambda flags: flags.r1_weight or flags.r2_weight,
    ),
    Dependency(
        ("gradient_penalty_final_fraction",),
        "--gradient_penalty_anneal_steps above 0",
        lambda flags: flags.gradient_penalty_anneal_steps,
    ),
    Dependency(
        ("gradient_penalty_anneal_steps",),
        "--gradient_penalty_final_fraction below 1",
        lambda flags: flags.gradient_penalty_final_fraction < 1,
    ),
    Dependency(
        ("lecam_clip", "lecam_decay", "lecam_start_step"), "--lecam_weight above 0", lambda flags: flags.lecam_weight
    ),
    Dependency(("class_margin_weight",), "--conditioning=projection", lambda flags: flags.conditioning == "projection"),
    Dependency(
        ("latent_noise",),
        "--latent_consistency_weight or --latent_diversity_weight above 0",
        lambda flags: flags.latent_consistency_weight or flags.latent_diversity_weight,
    ),
    Dependency(("generator_top_k_decay_steps",), "--generator_top_k below 1", lambda flags: flags.generator_top_k < 1),
    Dependency(("max_rollbacks",), "--on_non_finite=rollback", lambda flags: flags.on_non_finite == "rollback"),
    # The other flags of evaluations are those that sagan_tf.evaluate takes from the run.
    Dependency(
        ("reference_dir", "num_samples", "evaluation_batch_size", "collapse_patience"),
        "--evaluate_every above 0",
        lambda flags: flags.evaluate_every > 0,
    ),
    Dependency(("num_samples",), UNSIZED_METRIC, lambda flags: has_unsized_metric(flags.metrics)),
    Dependency(("evaluation_labels",), "a --conditioning other than none", lambda flags: flags.conditioning != "none"),
    *REFERENCE,
    Dependency(("inception_dir",), "--extractor=inception", lambda flags: flags.extractor in ("", "inception")),
    Dependency(
        ("extractor_features", "extractor_logits"),
        "--extractor=inception or the directory of a SavedModel",
        lambda flags: flags.extractor not in PACKAGED_EXTRACTORS,
    ),
)
