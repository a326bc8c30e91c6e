"""Options of sagan_tf.export that have an effect only together with other options."""

from __future__ import annotations

from sagan_tf.config.dependent_options.dependency import Dependency

EXPORT = (
    Dependency(
        ("resampling",),
        "--formats=saved_model or --discriminator",
        lambda options: "saved_model" in options.formats or options.discriminator,
    ),
    Dependency(
        ("tflite_precisions", "parity_samples", "largest_mean_error"),
        "--formats=tflite",
        lambda options: "tflite" in options.formats,
    ),
)
