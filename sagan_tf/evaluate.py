"""Evaluates a run, a folder of images or real data: `python -m sagan_tf.evaluate --run_dir=DIR --metrics=fid50k`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sagan_tf.cli.flags import parse_config, run_door
from sagan_tf.config import EvaluationConfig
from sagan_tf.evaluation.options import EvaluateOptions


def main(options: EvaluateOptions, evaluation: EvaluationConfig) -> None:
    """Evaluate what the options name."""
    # Here, so that TensorFlow is loaded only when there is work to do: `--help` and mistyped flags answer at once.
    from sagan_tf.cli.console import log_to_console
    from sagan_tf.cli.load_tensorflow import load_tensorflow

    load_tensorflow()
    log_to_console()
    from sagan_tf.evaluation.evaluate import evaluate

    evaluate(options, evaluation, lambda path: parse_config([f"--flagfile={path}"]))


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    kinds = EvaluateOptions, EvaluationConfig
    return run_door("sagan_tf.evaluate", __doc__, main, *kinds, argv=argv, prints_result=True)


if __name__ == "__main__":
    sys.exit(run())
