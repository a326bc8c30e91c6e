"""Flags of sagan_tf.sample that have an effect only together with others."""

from __future__ import annotations

from typing import Any

from sagan_tf.config.dependent_options.common import PLACEMENT
from sagan_tf.config.dependent_options.dependency import Dependency

_ROWS_ARE_CLASSES = ("grid", "truncation", "interpolation")


def _modes(flags: str, *modes: str) -> Dependency:
    return Dependency(tuple(flags.split()), f"--mode={' or '.join(modes)}", lambda given: given.mode in modes)


def _generates(flags: Any) -> bool:
    return flags.mode != "attention" or flags.network == "generator"


SAMPLE = (
    *PLACEMENT,
    _modes("num_samples", "grid", "images", "interpolation", "truncation", "nearest", "attention"),
    _modes("columns", "grid", "classes", "interpolation", "nearest"),
    _modes("truncation", "grid", "images", "classes", "interpolation", "nearest", "attention"),
    _modes("truncations", "truncation"),
    _modes("between", "interpolation"),
    _modes("network queries", "attention"),
    _modes("data_dir", "nearest", "attention"),
    _modes("extractor inception_dir", "nearest"),
    _modes("shard", "images"),
    Dependency(("inception_dir",), "--extractor=inception", lambda flags: flags.extractor in ("", "inception")),
    Dependency(("queries",), "an --output other than .html", lambda flags: not flags.output.lower().endswith(".html")),
    # The discriminator is shown training images.
    Dependency(
        ("truncation", "standing_batches", "generator_weights", "batch_size"), "--network=generator", _generates
    ),
    Dependency(
        ("data_dir",), "--network=discriminator", lambda flags: flags.mode == "nearest" or not _generates(flags)
    ),
    Dependency(
        ("checkpoint", "generator_weights", "strategy", "logical_cpus"), "--run_dir", lambda flags: flags.run_dir
    ),
    Dependency(
        ("num_samples",),
        "no --labels (each label is a row)",
        lambda flags: not flags.labels or flags.mode not in _ROWS_ARE_CLASSES or flags.between == "classes",
    ),
)
