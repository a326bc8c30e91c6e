"""Options of sagan_tf.serving.client that have an effect only together with other options."""

from __future__ import annotations

from sagan_tf.config.dependent_options.dependency import Dependency

CLIENT = (
    Dependency(("columns",), "an --output that ends in .png", lambda options: options.output.lower().endswith(".png")),
    Dependency(
        ("num_samples",), "an --output that is a directory", lambda options: not options.output.lower().endswith(".png")
    ),
)
