"""Options of `python -m sagan_tf.export`. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from sagan_tf.config.dependent_options import EXPORT, check_dependent_fields
from sagan_tf.config.option import check_given, option
from sagan_tf.config.option_names import describe_names
from sagan_tf.config.shared_options import (
    check_checkpoint,
    checkpoint_option,
    generator_weights_option,
    overwrite_option,
    resampling_option,
    run_dir_option,
)
from sagan_tf.errors import UserError

FORMATS = {"saved_model": "TensorFlow Serving, Python, Java, C++", "tflite": "phones"}
PRECISIONS = {
    "float32": "",
    "float16": "half the size",
    "dynamic_int8": "8-bit weights",
    "int8": "8-bit weights and arithmetic",
}
"""Formats and the precisions of TFLite models, each with its explanation for `--help`."""

_MAX_PARITY_SAMPLES = 10_000
"""The images of both models are kept in memory: at 128 px, 2 GB each."""


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Options of an export."""

    run_dir: str = run_dir_option("is exported")
    formats: tuple[str, ...] = option(("saved_model",), f"Comma list, each {describe_names(FORMATS)}.")
    output: str = option("", "Directory that the exports go into; empty: the directory exports of the run.")
    checkpoint: str = checkpoint_option()
    generator_weights: str = generator_weights_option()
    discriminator: bool = option(
        False, "Also export the discriminator as a SavedModel, into the subdirectory discriminator."
    )
    resampling: str = resampling_option(
        "the SavedModel's convolutions", "the fastest on a CPU like that of this machine; use strided on GPUs"
    )
    tflite_precisions: tuple[str, ...] = option(tuple(PRECISIONS), f"Comma list, each {describe_names(PRECISIONS)}.")
    parity_samples: int = option(64, "Number of images by which each TFLite model is compared with the generator.")
    largest_mean_error: float = option(
        0.05,
        "Largest mean absolute difference between the pixels of a TFLite model and those of the generator, in the "
        "range -1 to 1; a model above it is left out.",
    )
    data_license: str = option(
        "", "License of the training data, for the model card; empty: the known license of the data set."
    )
    overwrite: bool = overwrite_option("existing exports")

    def __post_init__(self) -> None:
        check_given(self, "run_dir")
        _check_names("formats", self.formats, FORMATS)
        _check_names("tflite_precisions", self.tflite_precisions, PRECISIONS)
        check_checkpoint(self.checkpoint)
        if not 2 <= self.parity_samples <= _MAX_PARITY_SAMPLES:
            raise UserError(f"parity_samples: expected 2 to {_MAX_PARITY_SAMPLES}, received {self.parity_samples}")
        if not self.largest_mean_error > 0:
            raise UserError(f"largest_mean_error: expected a number above 0, received {self.largest_mean_error}")
        check_dependent_fields(EXPORT, self)


def _check_names(option: str, values: tuple[str, ...], names: Collection[str]) -> None:
    unknown = [value for value in values if value not in names]
    if unknown or not values:
        received = repr(unknown[0]) if unknown else "none"
        raise UserError(f"{option}: expected a comma list of {', '.join(names)}, received {received}")
