"""Options of `tools/ablation.py`. This module imports no TensorFlow."""

from __future__ import annotations

import dataclasses

from sagan_tf.config.option import check_at_least_zero, check_given, check_positive, option
from sagan_tf.errors import UserError
from tools.comparisons.devices import check_device_names, devices_option

DEFAULT_BASE = "configs/ablations/fashion_mnist_32.cfg"


@dataclasses.dataclass(frozen=True)
class AblationOptions:
    """The study, what all of its settings have in common, and where they are trained."""

    study: str = option(
        "",
        "Name of a study in configs/ablations, such as stabilization, or a file whose lines are a name and flags "
        "(docs/ablations.md).",
    )
    settings: tuple[str, ...] = option((), "Comma list of the settings of the study that are compared; empty: all.")
    base: str = option(DEFAULT_BASE, "Flagfile of all settings.")
    data_dir: str = option("", "Directory of the data, if the flagfile does not name it.")
    seeds: int = option(3, "Runs of each setting, with seeds from 0.")
    steps: int | None = option(None, "Steps of training for each run; unset: num_steps of --base.")
    metrics: str = option(
        "", "Comma list of metrics, of which the first fid or fcd selects the best step; empty: those of --base."
    )
    evaluate_every: int = option(0, "Steps between evaluations during training; 0: evaluate_every of --base.")
    run_dir: str = option(
        "", "Directory of all runs and of the results; empty: runs/ablations/STUDY/BASE, of the names without endings."
    )
    devices: tuple[str, ...] = devices_option()
    reuse: tuple[str, ...] = option(
        (),
        "Comma list of directories of other studies. A cell whose training has not begun gets a copy of one of their "
        "runs that has ended and has the same options, seed and number of steps; it is not trained.",
    )
    cell: tuple[int, ...] = option(
        (),
        "Comma list of numbers of cells, as --dry_run prints them: only these are trained, and no results are written, "
        "as in a job of a Slurm array; empty: all, with results.",
    )
    collect: bool = option(
        False,
        "Train nothing, and write the results of the stored runs again. Their records say where the data was; other "
        "options must be those of the runs.",
    )
    dry_run: bool = option(False, "Only print the commands of all cells.")
    seconds_per_step: float | None = option(
        None, "Seconds of a step with one discriminator update, with which --dry_run predicts the cost; unset: none."
    )

    def __post_init__(self) -> None:
        check_given(self, "study")
        check_positive(self, "seeds", *(["steps"] if self.steps is not None else []))
        check_at_least_zero(self, "evaluate_every")
        self._check_combinations()
        check_device_names(self.devices)

    def _check_combinations(self) -> None:
        if self.collect and self.dry_run:
            raise UserError("collect: has no effect with --dry_run; give one of the two")
        for name in ("cell", "devices", "reuse"):
            if getattr(self, name) and (self.collect or (self.dry_run and name != "reuse")):
                other = "collect" if self.collect else "dry_run"
                raise UserError(f"{name}: has no effect with --{other}, which trains nothing")
        if self.seconds_per_step is not None:
            check_positive(self, "seconds_per_step")
            if not self.dry_run:
                raise UserError("seconds_per_step: has no effect without --dry_run")
