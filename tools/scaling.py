"""Scaling of a configuration: communication, speed of several workers and cost of a run; see docs/scaling.md.

    python tools/scaling.py --flagfile=configs/imagenet.cfg
    python tools/scaling.py --flagfile=configs/imagenet.cfg --workers=1,2,4 --gpus_per_worker=8 --link_gbits=100
    python tools/scaling.py --flagfile=configs/imagenet.cfg --device=L4 --price_per_hour=0.8 --tables=run

Sizes and arithmetic are counted in the networks and graphs that training builds for GPUs. Times are predictions from
data sheets and from assumptions. Nothing is trained, and no GPU is needed.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `tools`, when this file is run as a script

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config import Config
from sagan_tf.config.option import option
from sagan_tf.errors import UserError
from tools.benchmark import format_table
from tools.data_sets import NUM_CLASSES
from tools.scaling_model.prediction import DEVICES

TABLE_NAMES = ("step", "reductions", "device", "strong", "weak", "input", "memory", "run")
"""Keys of `tables.TABLES`, whose module imports TensorFlow, which `--help` must not load."""


@dataclasses.dataclass(frozen=True)
class ScalingOptions:
    """Machines, and the tables to print."""

    workers: tuple[int, ...] = option((1, 2, 4, 8, 16, 32), "Comma list of numbers of workers.")
    gpus_per_worker: int = option(1, "GPUs in each worker.")
    link_gbits: tuple[float, ...] = option(
        (10.0, 25.0, 100.0), "Comma list of speeds of a worker's link to the others, Gbit/s in each direction."
    )
    device: str = option("A100", "The GPU.", choices=tuple(DEVICES))
    utilization: float | None = option(
        None, "Share of the GPU's peak that products reach; unset: 0.25 with tensor cores, 0.6 without."
    )
    price_per_hour: float | None = option(None, "Price of --device for an hour, in any currency; unset: no prices.")
    tables: tuple[str, ...] = option(TABLE_NAMES, "Comma list of the tables to print.", choices=TABLE_NAMES)

    def __post_init__(self) -> None:
        for name in ("workers", "gpus_per_worker", "link_gbits", "utilization", "price_per_hour", "tables"):
            value = getattr(self, name)
            if value == ():
                raise UserError(f"{name}: expected a comma list, received an empty one")
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, int | float) and number <= 0:
                    raise UserError(f"{name}: expected a number above 0, received {number}")
        if self.utilization is not None and self.utilization > 1:
            raise UserError(f"utilization: expected at most 1, received {self.utilization}")


def main(options: ScalingOptions, config: Config) -> None:
    """Print the tables.

    Raises:
        UserError: The configuration cannot be used or modeled.
    """
    config, precision = resolve_num_classes(config), config.training.precision
    if config.training.jit_compile:
        raise UserError("jit_compile: expected false, received true; fusion by XLA is not modeled")
    if not DEVICES[options.device].list_number_formats(precision):
        raise UserError(f"precision: {options.device} has no units for {precision}; choose another --device")
    load_tensorflow()
    from sagan_tf.distribution.strategy import check_batch_size
    from sagan_tf.training.validation import check_config
    from tools.scaling_model.tables import TABLES, Tables

    check_config(config)
    check_batch_size(config.training, 1, config.model.discriminator_minibatch_statistics)
    tables = Tables(options, config)
    for name in dict.fromkeys(options.tables):
        title, rows = TABLES[name](tables)
        sys.stdout.write(f"{title}\n{format_table(rows)}\n\n")
        sys.stdout.flush()


def resolve_num_classes(config: Config) -> Config:
    """Return the configuration with its number of classes.

    Raises:
        UserError: The number of classes is not known before the data set is opened.
    """
    model, dataset = config.model, config.data.dataset
    if model.num_classes or not model.uses_classes:
        return config
    if dataset not in NUM_CLASSES:
        known = ", ".join(NUM_CLASSES)
        raise UserError(
            f"num_classes: expected a number above 0 for a data set other than {known}, received 0 for {dataset}"
        )
    return dataclasses.replace(config, model=dataclasses.replace(model, num_classes=NUM_CLASSES[dataset]))


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run_command_line("tools/scaling.py", __doc__, main, ScalingOptions, Config, prints_result=True, argv=argv)


if __name__ == "__main__":
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # leave the memory of the GPUs to training
    sys.exit(run())
