"""Scaling of a configuration: communication, speed of several workers and cost of a run; see docs/scaling.md.

    python tools/scaling.py --flagfile=configs/imagenet.cfg
    python tools/scaling.py --flagfile=configs/imagenet.cfg --workers=1,2,4 --gpus_per_worker=8 --link_gbits=100
    python tools/scaling.py --flagfile=configs/imagenet.cfg --device=L4 --price_per_hour=0.8 --tables=run

Sizes and arithmetic are counted in the networks and graphs that training builds for GPUs. Times are predictions from
data sheets and from assumptions, which flags change. Nothing is trained, and no GPU is needed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `tools`, when this file is run as a script

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config import Config
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_file, write_atomically, write_result
from tools.benchmark import format_table
from tools.scaling_model.options import ScalingOptions

NUM_CLASSES_BY_DATASET = {"imagenet2012": 1000, "cifar10": 10, "fashion_mnist_10k": 10}
"""Classes of known data sets, which therefore do not have to be available."""


def main(options: ScalingOptions, config: Config) -> None:
    """Print the tables and, if requested, write their figures to a file.

    Args:
        options: The machines, the assumptions and the tables to print.
        config: The configuration to examine.

    Raises:
        UserError: The configuration cannot be used or modeled, or the file cannot be written.
    """
    output = Path(os.path.expanduser(options.json)) if options.json else None
    if output is not None:
        check_can_write_file(output, "json")
    if config.training.jit_compile:
        raise UserError("jit_compile: expected false, received true; fusion by XLA is not modeled")
    config = resolve_num_classes(config)
    options.create_device(config.training.precision).choose_number_format(config.training.precision)
    load_tensorflow()
    from sagan_tf.distribution.strategy import check_batch_size
    from sagan_tf.training.validation import check_config
    from tools.scaling_model.calculation import Calculation

    check_config(config)
    check_batch_size(config.training, 1, config.model.discriminator_minibatch_statistics)
    calculation, figures = Calculation(options, config), {}
    for name in dict.fromkeys(options.tables):
        table = calculation.create_table(name)
        sys.stdout.write(f"{table.title}\n{format_table(table.rows)}\n\n")
        sys.stdout.flush()
        figures[name] = {"title": table.title, "rows": table.figures}
    if output is not None:
        content = json.dumps(figures, indent=1) + "\n"
        write_result(output, "json", lambda path: write_atomically(path, content))


def resolve_num_classes(config: Config) -> Config:
    """Return the configuration with its number of classes.

    Raises:
        UserError: The number of classes is not known before the data set is opened.
    """
    model = config.model
    if not model.num_classes and model.conditioning != "none":
        if config.data.dataset not in NUM_CLASSES_BY_DATASET:
            known = ", ".join(NUM_CLASSES_BY_DATASET)
            raise UserError(
                f"num_classes: expected a number above 0 for a data set other than {known}, received 0 for "
                f"{config.data.dataset}"
            )
        model = dataclasses.replace(model, num_classes=NUM_CLASSES_BY_DATASET[config.data.dataset])
    return dataclasses.replace(config, model=model)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run_command_line("tools.scaling", __doc__, main, ScalingOptions, Config, prints_result=True, argv=argv)


if __name__ == "__main__":
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # leave the memory of the GPUs to training
    sys.exit(run())
