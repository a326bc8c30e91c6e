"""Evaluate a run, a directory of images or real data: `python -m sagan_tf.evaluate --run_dir=DIR --metrics=fid50k`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sagan_tf.cli.callable_module import make_callable
from sagan_tf.cli.command_line import run_command_line
from sagan_tf.config import EvaluationConfig
from sagan_tf.evaluation.options import EvaluateOptions


def main(options: EvaluateOptions, evaluation: EvaluationConfig) -> None:
    """Evaluate the run, images or data that the options name."""
    # TensorFlow is imported here, so that `--help` and errors in flags do not wait for it.
    from sagan_tf.cli.load_tensorflow import load_tensorflow
    from sagan_tf.log import log_to_console

    load_tensorflow()
    log_to_console()
    from sagan_tf.evaluation.evaluate import evaluate

    evaluate(options, evaluation)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    kinds = EvaluateOptions, EvaluationConfig
    return run_command_line("sagan_tf.evaluate", __doc__, main, *kinds, argv=argv, prints_result=True)


make_callable(__name__)

if __name__ == "__main__":
    sys.exit(run())
