"""Options of the weights that a run starts with."""

from __future__ import annotations

import dataclasses

from sagan_tf.config.option import check_at_least_zero, check_every_field, option


@dataclasses.dataclass(frozen=True)
class InitializationConfig:
    """Weights that a run starts with, in place of random ones."""

    init_from: str = option(
        "",
        "Trained run whose weights this run starts with (fine-tuning): its directory, for the newest checkpoint; the "
        "path of a checkpoint, RUN/checkpoints/step-100 or RUN/checkpoints/best; or an export, RUN/exports/100. It is "
        "read only when the run begins, not when it is resumed. Empty: random weights.",
        added_later=True,
    )
    class_map: tuple[str, ...] = option(
        (),
        "Comma list of OLD:NEW: class NEW of this run starts with the weights of class OLD of --init_from. Classes can "
        "be given by name or number. Other classes start with those of the class with the same name. If the names of "
        "one side are unknown or numbers, and both have equally many classes, they start with those of the class with "
        "the same number. The rest starts with the mean of all classes.",
        added_later=True,
    )
    freeze_discriminator: int = option(
        0,
        "Number of blocks of the discriminator, counted from the image, that keep the weights of --init_from (FreezeD, "
        "Mo et al. 2020); 0: none.",
        added_later=True,
    )

    def __post_init__(self) -> None:
        check_at_least_zero(self, "freeze_discriminator")
        check_every_field(self)
