"""Options of a look at a training run before it begins."""

from __future__ import annotations

import dataclasses

from sagan_tf.config.option import option
from sagan_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class DryRunOptions:
    """A look at the run before it begins."""

    dry_run: bool = option(
        False,
        "Check the flags and the data, describe the run and draw its first images as the discriminator receives them, "
        "then end. Writes --dry_run_output and nothing else.",
    )
    dry_run_output: str = option("contact_sheet.png", "PNG file for the images of --dry_run.")

    def __post_init__(self) -> None:
        if not self.dry_run_output:
            raise UserError("dry_run_output: expected the path of a PNG file, received an empty path")
