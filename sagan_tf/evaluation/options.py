"""Options of `python -m sagan_tf.evaluate` beside `EvaluationConfig`. Imports no TensorFlow."""

from __future__ import annotations

import dataclasses

from sagan_tf.config.option import option
from sagan_tf.config.shared_options import (
    check_checkpoint,
    checkpoint_option,
    data_dir_option,
    generator_weights_option,
    logical_cpus_option,
    run_dir_option,
    seed_option,
    strategy_option,
)
from sagan_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """The run or the images to evaluate, and the devices that evaluate them."""

    run_dir: str = run_dir_option("is evaluated")
    images: str = option(
        "",
        "Instead of a run: a directory of square images of the same size (with a subdirectory for each class, or "
        "none), or real images as DATASET:SPLIT, whose metrics show what a perfect generator could reach.",
    )
    checkpoint: str = checkpoint_option()
    generator_weights: str = generator_weights_option()
    held_out: str = option(
        "",
        "Real images that were not trained on, for the metrics authenticity and classification_accuracy_score: "
        "DATASET:SPLIT or a directory; empty: those of the run.",
    )
    output: str = option("", "JSON file for the result, with the names of the metrics as keys.")
    data_dir: str = data_dir_option("that of the run, or the default directory of TFDS")
    resolution: int = option(0, "Size that images of DATASET:SPLIT are resized to; 0 for that of the extractor.")
    image_channels: int = option(0, "Channels that images are decoded with; 0 for those of the extractor.")
    seed: int = seed_option("the latents and labels")
    strategy: str = strategy_option()
    logical_cpus: int = logical_cpus_option()

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
        check_checkpoint(self.checkpoint)
