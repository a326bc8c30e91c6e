"""Options of `tools/gpu_check.py` beside those of a configuration."""

from __future__ import annotations

import dataclasses

from sagan_tf.errors import UserError
from sagan_tf.option import check_positive, option
from tools.gpu_checking.forms import FORMS


@dataclasses.dataclass(frozen=True)
class GpuCheckOptions:
    """What is checked, and where the figures go."""

    steps: int = option(20, "Timed training steps of each form, fewer where they would take longer than 20 seconds.")
    forms: tuple[str, ...] = option(tuple(FORMS), "Comma list of the forms of computation to time.")
    json: str = option("gpu_check.json", "File to write everything to; empty: none.")

    def __post_init__(self) -> None:
        check_positive(self, "steps")
        unknown = [name for name in self.forms if name not in FORMS]
        if unknown or not self.forms:
            received = ",".join(self.forms)
            raise UserError(f"forms: expected a comma list of {', '.join(FORMS)}, received {received!r}")
