"""Flags of sagan_tf.serving.client that have an effect only together with others."""

from __future__ import annotations

from sagan_tf.config.dependent_options.dependency import Dependency

CLIENT = (
    Dependency(("columns",), "an --output that ends in .png", lambda flags: flags.output.lower().endswith(".png")),
    Dependency(
        ("num_samples",), "an --output that is a directory", lambda flags: not flags.output.lower().endswith(".png")
    ),
)
