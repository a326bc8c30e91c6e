"""Options of `python -m sagan_tf.sample`. This module imports no TensorFlow."""

from __future__ import annotations

import dataclasses
import math
import re

from sagan_tf.config.dependent_options import SAMPLE, check_dependent_fields
from sagan_tf.config.option import option
from sagan_tf.config.shared_options import (
    check_checkpoint,
    checkpoint_option,
    data_dir_option,
    extractor_option,
    first_seed_option,
    generator_weights_option,
    inception_dir_option,
    labels_option,
    local_strategy_option,
    logical_cpus_option,
    overwrite_option,
    run_dir_option,
    truncation_option,
)
from sagan_tf.errors import UserError
from sagan_tf.serving.contract import MAX_BATCH_SIZE

MODES = {
    "grid": "one row of images per class",
    "images": "any number of images, one file each",
    "classes": "one image of each class",
    "interpolation": "from one image to another",
    "truncation": "the same images at several truncations",
    "nearest": "each image beside its most similar training images",
    "attention": "attention maps",
}
"""Modes, each with its explanation for `--help`."""
_RUN_ONLY_MODES = ("nearest", "attention")
_SHARD = re.compile(r"(\d+)/(\d+)")


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """The generator, the images and the output."""

    run_dir: str = run_dir_option("makes the images")
    saved_model: str = option("", "Directory of an exported SavedModel, instead of --run_dir.")
    mode: str = option(
        "grid",
        "; ".join(f"{name}: {explanation}" for name, explanation in MODES.items()) + ".",
        choices=tuple(MODES),
    )
    output: str = option(
        "",
        "Path of the output: a .png file; for mode images a directory or an .npz file; for mode attention a .png file, "
        "or an .html page that shows the attention map of the position under the mouse.",
    )
    num_samples: int = option(
        0, "Number of images, or of rows in modes whose rows are not classes; 0: the default of the mode."
    )
    columns: int = option(0, "Number of images in a row; 0: the default of the mode, mostly 8.")
    candidates: int = option(
        0,
        "For mode nearest: generate so many images and show the --num_samples likeliest copies of training images; 0: "
        "show the first images.",
    )
    labels: tuple[str, ...] = labels_option(
        "number or name", "all classes; modes with one row per class show at most ten"
    )
    seed: int = first_seed_option()
    truncation: float | None = truncation_option()
    truncations: tuple[float, ...] = option(
        (),
        "For mode truncation: comma list of truncations; 0 is the mean, 8 or more is none. Empty: none, 2, 1.5, 1, "
        "0.75, 0.5, 0.25, 0.",
    )
    standing_batches: int = option(
        0,
        "Number of batches of 64 images, at the truncation in use, to recompute the statistics of batch normalization "
        "(BigGAN's standing statistics); 0: use those of training. Needs --run_dir.",
    )
    between: str = option(
        "latents",
        "For mode interpolation: latents (one class per row, from one seed to the next) or classes (one seed per row, "
        "from class to class; needs --run_dir).",
        choices=("latents", "classes"),
    )
    network: str = option(
        "generator",
        "For mode attention: generator, or discriminator, which receives training images.",
        choices=("generator", "discriminator"),
    )
    queries: tuple[str, ...] = option(
        (),
        "For mode attention: comma list of query positions ROW:COLUMN as fractions of the image, such as 0.5:0.5 for "
        "the center; empty: five positions with different attention maps.",
    )
    checkpoint: str = checkpoint_option()
    generator_weights: str = generator_weights_option()
    shard: str = option(
        "",
        "For mode images: I/N makes part I of N, 1/N to N/N, of one set; all parts may share a directory. worker: the "
        "part of this process among the workers that TF_CONFIG, Slurm or Kubernetes describes.",
    )
    batch_size: int = option(64, "Number of images in a batch.")
    strategy: str = local_strategy_option()
    logical_cpus: int = logical_cpus_option()
    overwrite: bool = overwrite_option("an existing output")
    data_dir: str = data_dir_option("that of the run")
    extractor: str = extractor_option("For mode nearest: network whose features measure similarity")
    inception_dir: str = inception_dir_option()

    def __post_init__(self) -> None:
        if bool(self.run_dir) == bool(self.saved_model):
            received = "both" if self.run_dir else "neither"
            raise UserError(f"expected either --run_dir or --saved_model, received {received}")
        if not self.output:
            raise UserError("output: expected the path of a file or a directory, received none")
        check_dependent_fields(SAMPLE, self)
        if self.standing_batches and self.mode == "truncation":
            raise UserError(
                "standing_batches: expected 0 with --mode=truncation, which compares several truncations, received "
                f"{self.standing_batches}"
            )
        if self.saved_model and self._get_run_only_feature():
            raise UserError(f"saved_model: {self._get_run_only_feature()} needs --run_dir instead of an exported model")
        self._check_numbers()
        if self.saved_model and self.batch_size > MAX_BATCH_SIZE:
            raise UserError(
                f"batch_size: expected at most {MAX_BATCH_SIZE} with --saved_model, received {self.batch_size}"
            )
        check_checkpoint(self.checkpoint)
        self.parse_shard()  # raises UserError for an invalid value

    def parse_shard(self) -> tuple[int, int]:
        """Parse the option `shard`.

        Returns:
            Index of the shard, from 0, and number of shards; (0, 1) without shards and if `is_worker_shard`.

        Raises:
            UserError: The value is not I/N with 1 <= I <= N.
        """
        if not self.shard or self.is_worker_shard():
            return 0, 1
        match = _SHARD.fullmatch(self.shard)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UserError(f"shard: expected I/N with I from 1 to N, such as 1/4, or worker, received {self.shard!r}")
        return int(match[1]) - 1, int(match[2])

    def is_worker_shard(self) -> bool:
        """Check whether the environment decides the shard of this process."""
        return self.shard == "worker"

    def get_threshold(self) -> float:
        """Return the truncation as a number; infinity means no truncation."""
        return math.inf if self.truncation is None else self.truncation

    def _get_run_only_feature(self) -> str:
        """Return the option that exported models do not support, or an empty string."""
        if self.mode in _RUN_ONLY_MODES:
            return f"--mode={self.mode}"
        if self.mode == "interpolation" and self.between == "classes":
            return "--between=classes"
        return "--standing_batches" if self.standing_batches else ""

    def _check_numbers(self) -> None:
        for name, minimum in {
            "num_samples": 0,
            "columns": 0,
            "candidates": 0,
            "seed": 0,
            "batch_size": 1,
            "logical_cpus": 1,
            "standing_batches": 0,
        }.items():
            value = getattr(self, name)
            if value < minimum:
                raise UserError(f"{name}: expected {minimum} or more, received {value}")
        if self.seed + max(self.num_samples, self.candidates, 1) > 2**62:
            raise UserError(f"seed: expected seeds below 2^62, received {self.seed}")
        if self.truncation is not None and not self.truncation >= 0:
            raise UserError(f"truncation: expected 0 or more, received {self.truncation}")
        negative = [value for value in self.truncations if value < 0]
        if negative:
            raise UserError(f"truncations: expected numbers of 0 or more, received {negative[0]}")
