"""Options of `tools/gpu_check.py` in addition to those of a configuration."""

from __future__ import annotations

import dataclasses

from sagan_tf.config.option import check_positive, option
from sagan_tf.errors import UserError
from tools.gpu_checking.forms import FORMS


@dataclasses.dataclass(frozen=True)
class GpuCheckOptions:
    """Options of the check: the measurements, their time limits and the JSON file."""

    steps: int = option(20, "Timed training steps of each form; fewer if they would take longer than 20 seconds.")
    forms: tuple[str, ...] = option(tuple(FORMS), "Comma list of the forms of computation to time.")
    json: str = option("gpu_check.json", "File for all results, written after every part; empty: none.")
    max_seconds: float = option(
        2400.0,
        "Time limit in seconds for each part. The first can take half an hour on a GPU for which the driver compiles "
        "kernels.",
    )
    max_all_reduce_seconds: float = option(
        300.0, "Time limit in seconds for the all-reduces between GPUs, which may hang."
    )

    def __post_init__(self) -> None:
        check_positive(self, "steps", "max_seconds", "max_all_reduce_seconds")
        unknown = [name for name in self.forms if name not in FORMS]
        if unknown or not self.forms:
            received = ",".join(self.forms)
            raise UserError(f"forms: expected a comma list of {', '.join(FORMS)}, received {received!r}")
