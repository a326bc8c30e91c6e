"""Flags of sagan_tf.export that have an effect only together with others."""

from __future__ import annotations

from sagan_tf.config.dependent_options.dependency import Dependency

EXPORT = (
    Dependency(
        ("resampling",),
        "--formats=saved_model or --discriminator",
        lambda flags: "saved_model" in flags.formats or flags.discriminator,
    ),
    Dependency(
        ("tflite_precisions", "parity_samples", "largest_mean_error"),
        "--formats=tflite",
        lambda flags: "tflite" in flags.formats,
    ),
)
