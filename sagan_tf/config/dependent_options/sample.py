"""Options of sagan_tf.sample that have an effect only together with other options."""

from __future__ import annotations

from typing import Any

from sagan_tf.config.dependent_options.common import DEVICE_DEPENDENCIES
from sagan_tf.config.dependent_options.dependency import Dependency

_ROWS_ARE_CLASSES = ("grid", "truncation", "interpolation")


def _modes(names: str, *modes: str) -> Dependency:
    return Dependency(tuple(names.split()), f"--mode={' or '.join(modes)}", lambda options: options.mode in modes)


def _is_generating(options: Any) -> bool:
    return options.mode != "attention" or options.network == "generator"


SAMPLE = (
    *DEVICE_DEPENDENCIES,
    _modes("num_samples", "grid", "images", "interpolation", "truncation", "nearest", "attention"),
    _modes("columns", "grid", "classes", "interpolation", "nearest"),
    _modes("truncation", "grid", "images", "classes", "interpolation", "nearest", "attention"),
    _modes("truncations", "truncation"),
    _modes("between", "interpolation"),
    _modes("network queries", "attention"),
    _modes("data_dir", "nearest", "attention"),
    _modes("extractor inception_dir candidates", "nearest"),
    _modes("shard", "images"),
    Dependency(("inception_dir",), "--extractor=inception", lambda options: options.extractor in ("", "inception")),
    Dependency(
        ("queries",), "an --output other than .html", lambda options: not options.output.lower().endswith(".html")
    ),
    # With --network=discriminator, the images are training images and the generator is not used.
    Dependency(
        ("truncation", "standing_batches", "generator_weights", "batch_size"), "--network=generator", _is_generating
    ),
    Dependency(
        ("data_dir",),
        "--network=discriminator",
        lambda options: options.mode == "nearest" or not _is_generating(options),
    ),
    Dependency(
        ("checkpoint", "generator_weights", "strategy", "logical_cpus"), "--run_dir", lambda options: options.run_dir
    ),
    Dependency(
        ("num_samples",),
        "no --labels (each label is a row)",
        lambda options: not options.labels or options.mode not in _ROWS_ARE_CLASSES or options.between == "classes",
    ),
)
