"""Train a self-attention GAN: `python -m sagan_tf.train --flagfile=configs/quickstart.cfg`."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Mapping, Sequence

from sagan_tf.cli.callable_module import make_callable
from sagan_tf.cli.command_line import run_command_line
from sagan_tf.config import Config
from sagan_tf.config.dependent_options import DRY_RUN, check_dependent_fields
from sagan_tf.config.dry_run import DryRunOptions
from sagan_tf.runs.run_directory import RunDirectory


def main(config: Config) -> None:
    """Train the run that `config` describes."""
    # TensorFlow is imported here, so that `--help` and errors in flags do not wait for it.
    from sagan_tf.cli.load_tensorflow import load_tensorflow
    from sagan_tf.log import log_to_console

    load_tensorflow()
    log_to_console()
    from sagan_tf.training.train import train

    if not config.evaluation.evaluate_every:
        train(config)
        return
    from sagan_tf.evaluation.run_evaluation import create_training_evaluation

    train(config, create_training_evaluation)


def describe(config: Config, output: str) -> None:
    """Describe the run without training, and draw its first images into `output`."""
    from sagan_tf.cli.load_tensorflow import load_tensorflow
    from sagan_tf.log import log_to_console

    load_tensorflow()
    log_to_console()
    from sagan_tf.training.dry_run import describe_without_training

    describe_without_training(config, pathlib.Path(os.path.expanduser(output)))


def _check_and_train(config: Config, dry_run: DryRunOptions, flagfiles: Mapping[str, pathlib.Path | None]) -> None:
    check_dependent_fields(DRY_RUN, dry_run)
    RunDirectory(config.training.run_dir).check_not_moved(flagfiles.get("run_dir"))
    if dry_run.dry_run:
        describe(config, dry_run.dry_run_output)
    else:
        main(config)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = Config, DryRunOptions
    return run_command_line("sagan_tf.train", __doc__, _check_and_train, *options, argv=argv, passes_flagfiles=True)


make_callable(__name__)

if __name__ == "__main__":
    sys.exit(run())
