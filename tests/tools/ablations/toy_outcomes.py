"""Records and logs of cells that were never trained, with one metric or several."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence

from sagan_tf.config import Config
from sagan_tf.training.health.signs import DISTANCE_RATIO
from tools.comparisons.cells import Cell, Limit
from tools.comparisons.settings import Setting

FCD = {"plain": [[4.0, 2.0, 3.0], [5.0, 6.0, 7.0]], "wide": [[4.0, 1.0, 0.5], [3.0, 3.0, 3.5]]}
"""The fcd10k of seed 0 and 1 at steps 10, 20 and 30."""
GAMMA = "gamma/generator/attention"


def write_cell(
    directory: pathlib.Path,
    name: str,
    seed: int,
    fcd: Sequence[float],
    status: str = "finished",
    ends: int = 3,
    others: Mapping[str, float] | None = None,
    ratios: Sequence[float | None] = (),
) -> Cell:
    """Write the record and the log of a cell, whose last value is that of the evaluation after training.

    Gamma is the step plus the seed, with another sign for every seed.

    Args:
        directory: The directory of the study.
        name: The setting.
        seed: The seed.
        fcd: The fcd10k at steps 10, 20 and 30; empty without any line in the log.
        status: The status of the record.
        ends: Number of evaluations that are made.
        others: Further metrics after training.
        ratios: Distance ratios of the samples in health checks; None for a check without it.
    """
    cell = Cell(Setting(name, ()), seed, Limit(30, 0.0), (), directory, Config())
    cell.run_dir.mkdir(parents=True)
    lines = [
        {"kind": "evaluation", "step": 10 * (index + 1), "num_samples": {"fcd10k": 1}, "fcd10k": value}
        for index, value in enumerate(fcd[: min(ends, max(len(fcd) - 1, 0))])
    ]
    live = {"kind": "evaluation", "step": 10, "generator_weights": "live", "num_samples": {"fcd10k": 1}, "fcd10k": -1}
    speed = {"kind": "train", "steps_per_second": 2.0, "images_per_second": 6.0}
    lines += [live, *(speed | {"step": step, GAMMA: (step + seed) * (-1) ** seed} for step in (10, 20))] if fcd else []
    checks = ({"kind": "health", "step": 10 * (index + 1), DISTANCE_RATIO: each} for index, each in enumerate(ratios))
    lines += [{name: value for name, value in check.items() if value is not None} for check in checks]
    (cell.run_dir / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    record = cell.describe_identity() | {"status": status, "cpu_seconds": 1.0, "message": f"see {directory}/plain"}
    if status == "finished":
        values = {"fcd10k": fcd[-1], **(others or {})}
        record |= {"training_seconds": 2.0, "images_seen": 3, "step": 30, "values": values}
    cell.path_with_suffix(".json").write_text(json.dumps(record))
    return cell
