"""What `python -m sagan_tf.evaluate` takes beside `EvaluationConfig`. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses

from sagan_tf.config.option import option
from sagan_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate."""

    run_dir: str = option("", "Folder of a run, whose generator is evaluated.")
    images: str = option(
        "",
        "Instead of a run: a folder of finished images (square, all of one size; a subfolder a class or none), or real "
        "images as DATASET:SPLIT, which gives the floor that a generator could reach.",
    )
    checkpoint: str = option("latest", "Of a run: latest, best (kept by --evaluate_every) or a step.")
    generator_weights: str = option(
        "ema", "Of a run: ema (the averaged generator) or live (the one that is trained).", choices=("ema", "live")
    )
    output: str = option("", "File for the result, as JSON with the metrics' names as keys.")
    data_dir: str = option("", "Where data sets lie; empty: the run's own, and where there is none TFDS's default.")
    resolution: int = option(0, "Size that DATASET:SPLIT is brought to; 0: the extractor's own.")
    image_channels: int = option(0, "Channels that images are decoded with; 0: the extractor's own.")
    seed: int = option(0, "Seed of the latents and labels.")
    strategy: str = option(
        "auto", "Where it runs, as in training.", choices=("auto", "one_device", "mirrored", "multi_worker", "tpu")
    )
    logical_cpus: int = option(1, "Split the CPU into this many devices, as in training.")

    def __post_init__(self) -> None:
        if bool(self.run_dir) == bool(self.images):
            received = "both" if self.run_dir else "neither"
            raise UserError(f"expected either --run_dir or --images, received {received}")
        for name in ("resolution", "image_channels", "seed"):
            if not 0 <= getattr(self, name) < 2**31:
                raise UserError(f"{name}: expected 0 or more, below 2147483648, received {getattr(self, name)}")
        if self.image_channels not in (0, 1, 3, 4):
            raise UserError(
                f"image_channels: expected 1 (gray), 3 (color), 4 (color with alpha) or 0 (the extractor's own), "
                f"received {self.image_channels}"
            )
        if self.logical_cpus < 1:
            raise UserError(f"logical_cpus: expected at least 1, received {self.logical_cpus}")
        if self.checkpoint not in ("latest", "best") and not self.checkpoint.isdecimal():
            raise UserError(f"checkpoint: expected latest, best or a step, received {self.checkpoint!r}")
