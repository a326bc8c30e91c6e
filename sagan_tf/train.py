"""Trains a self-attention GAN: `python -m sagan_tf.train --flagfile=configs/quickstart.cfg`."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping, Sequence

from sagan_tf.cli.flags import config_to_flagfile, run_door
from sagan_tf.config import Config
from sagan_tf.runs.run_directory import RunDirectory


def main(config: Config) -> None:
    """Train the run that `config` describes."""
    # Here, so that TensorFlow is loaded only when there is work to do: `--help` and mistyped flags answer at once.
    from sagan_tf.cli.console import log_to_console
    from sagan_tf.cli.load_tensorflow import load_tensorflow

    load_tensorflow()
    log_to_console()
    from sagan_tf.training.train import train

    if not config.evaluation.evaluate_every:
        train(config, config_to_flagfile)
        return
    from sagan_tf.evaluation.evaluate import training_evaluation

    train(config, config_to_flagfile, training_evaluation)


def _check_flagfiles(config: Config, flagfiles: Mapping[str, pathlib.Path | None]) -> None:
    RunDirectory(config.training.run_dir).check_not_moved(flagfiles.get("run_dir"))


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_door("sagan_tf.train", __doc__, main, Config, argv=argv, check=_check_flagfiles)


if __name__ == "__main__":
    sys.exit(run())
