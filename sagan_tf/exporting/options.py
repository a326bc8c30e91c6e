"""What `python -m sagan_tf.export` takes. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses

from sagan_tf.config.dependent_options import EXPORT, check_dependent_fields
from sagan_tf.config.option import option
from sagan_tf.errors import UserError

FORMATS = ("saved_model", "tflite")
PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")

_MOST_SAMPLES = 10_000
"""Pictures of both models are kept in memory: of 128 px, 2 GB each."""


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What to export, and as what."""

    run_dir: str = option("", "Folder of a run, whose generator is exported.")
    formats: tuple[str, ...] = option(
        ("saved_model",), "Comma list of saved_model (TensorFlow Serving, Python, Java, C++) and tflite (phones)."
    )
    output: str = option("", "Folder that the exports go into; empty: exports in the run's own.")
    checkpoint: str = option("latest", "Latest, best (kept by --evaluate_every) or a step.")
    generator_weights: str = option(
        "ema", "ema (the averaged generator) or live (the one that is trained).", choices=("ema", "live")
    )
    discriminator: bool = option(False, "Export the discriminator too, into the folder discriminator, as a SavedModel.")
    resampling: str = option(
        "auto",
        "How the SavedModel computes convolutions and the resampling next to them: auto, as fast as a CPU like this "
        "machine's can; strided, each as one convolution, for servers with a GPU; plain, one thing after the "
        "other.",
        choices=("auto", "strided", "plain"),
    )
    tflite_precisions: tuple[str, ...] = option(
        PRECISIONS,
        "Comma list of float32, float16 (half the size), dynamic_int8 (weights in 8 bits) and int8 (arithmetic in 8 "
        "bits too).",
    )
    parity_samples: int = option(64, "Pictures by which each tflite model is compared with the generator.")
    largest_mean_error: float = option(
        0.05,
        "A tflite model is kept if its pictures differ from the generator's by no more in the mean of absolute pixel "
        "errors, of a range from -1 to 1.",
    )
    data_licence: str = option("", "Licence of the training data, for the model card; empty: what is known of it.")
    overwrite: bool = option(False, "Replace exports that are there.")

    def __post_init__(self) -> None:
        if not self.run_dir:
            raise UserError("run_dir: expected the folder of a run, received none")
        _check_choices("formats", self.formats, FORMATS)
        _check_choices("tflite_precisions", self.tflite_precisions, PRECISIONS)
        if self.checkpoint not in ("latest", "best") and not self.checkpoint.isdecimal():
            raise UserError(f"checkpoint: expected latest, best or a step, received {self.checkpoint!r}")
        if not 2 <= self.parity_samples <= _MOST_SAMPLES:
            raise UserError(f"parity_samples: expected 2 to {_MOST_SAMPLES}, received {self.parity_samples}")
        if not self.largest_mean_error > 0:
            raise UserError(f"largest_mean_error: expected a number above 0, received {self.largest_mean_error}")
        check_dependent_fields(EXPORT, self)


def _check_choices(name: str, values: tuple[str, ...], choices: tuple[str, ...]) -> None:
    wrong = [value for value in values if value not in choices]
    if wrong or not values:
        received = repr(wrong[0]) if wrong else "none"
        raise UserError(f"{name}: expected a comma list of {', '.join(choices)}, received {received}")
