"""Options of sagan_tf.serving.client that have an effect only together with other options."""

from __future__ import annotations

import pathlib

from sagan_tf.config.dependent_options.dependency import Dependency


def is_sheet_path(output: str) -> bool:
    """Return whether an `--output` of the client is a sheet rather than a directory of images."""
    return pathlib.PurePath(output).suffix.lower() == ".png"


CLIENT = (
    Dependency(("columns",), "an --output that ends in .png", lambda options: is_sheet_path(options.output)),
    Dependency(("num_samples",), "an --output that is a directory", lambda options: not is_sheet_path(options.output)),
)
