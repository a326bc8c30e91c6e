"""Options of sagan_tf.serving.client that have an effect only together with other options."""

from __future__ import annotations

from sagan_tf.config.dependent_options.dependency import Dependency

# `is_sheet` is a fact, which `ClientOptions.is_sheet` computes.
CLIENT = (
    Dependency(("columns",), "an --output that ends in .png", lambda options: options.is_sheet),
    Dependency(("num_samples",), "an --output that is a directory", lambda options: not options.is_sheet),
)
