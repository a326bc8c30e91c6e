"""Options of `python -m sagan_tf.export`. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses

from sagan_tf.config.dependent_options import EXPORT, check_dependent_fields
from sagan_tf.config.option import option
from sagan_tf.config.shared_options import check_checkpoint, checkpoint_option, generator_weights_option
from sagan_tf.errors import UserError

FORMATS = ("saved_model", "tflite")
PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")

_MAX_PARITY_SAMPLES = 10_000
"""The images of both models are kept in memory: at 128 px, 2 GB each."""


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Options of an export."""

    run_dir: str = option("", "Directory of the run whose generator is exported.")
    formats: tuple[str, ...] = option(
        ("saved_model",), "Comma list of saved_model (TensorFlow Serving, Python, Java, C++) and tflite (phones)."
    )
    output: str = option("", "Directory that the exports go into; empty: the directory exports of the run.")
    checkpoint: str = checkpoint_option()
    generator_weights: str = generator_weights_option()
    discriminator: bool = option(
        False, "Also export the discriminator as a SavedModel, into the subdirectory discriminator."
    )
    resampling: str = option(
        "auto",
        "How the SavedModel computes convolutions and the resampling next to them: auto, the fastest form on a CPU "
        "like that of this machine; strided, each pair as one convolution, for servers with a GPU; plain, the "
        "resampling and the convolution one after the other.",
        choices=("auto", "strided", "plain"),
    )
    tflite_precisions: tuple[str, ...] = option(
        PRECISIONS,
        "Comma list of float32, float16 (half the size), dynamic_int8 (8-bit weights) and int8 (8-bit weights and "
        "arithmetic).",
    )
    parity_samples: int = option(64, "Number of images by which each TFLite model is compared with the generator.")
    largest_mean_error: float = option(
        0.05,
        "Largest mean absolute difference between the pixels of a TFLite model and those of the generator, in the "
        "range -1 to 1; a model above it is left out.",
    )
    data_licence: str = option(
        "", "License of the training data, for the model card; empty: the known license of the data set."
    )
    overwrite: bool = option(False, "Replace existing exports.")

    def __post_init__(self) -> None:
        if not self.run_dir:
            raise UserError("run_dir: missing; give the directory of a run with --run_dir")
        _check_choices("formats", self.formats, FORMATS)
        _check_choices("tflite_precisions", self.tflite_precisions, PRECISIONS)
        check_checkpoint(self.checkpoint)
        if not 2 <= self.parity_samples <= _MAX_PARITY_SAMPLES:
            raise UserError(f"parity_samples: expected 2 to {_MAX_PARITY_SAMPLES}, received {self.parity_samples}")
        if not self.largest_mean_error > 0:
            raise UserError(f"largest_mean_error: expected a number above 0, received {self.largest_mean_error}")
        check_dependent_fields(EXPORT, self)


def _check_choices(name: str, values: tuple[str, ...], choices: tuple[str, ...]) -> None:
    unknown = [value for value in values if value not in choices]
    if unknown or not values:
        received = repr(unknown[0]) if unknown else "none"
        raise UserError(f"{name}: expected a comma list of {', '.join(choices)}, received {received}")
