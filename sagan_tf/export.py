"""Exports a run's generator: `python -m sagan_tf.export --run_dir=DIR --formats=saved_model,tflite`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sagan_tf.cli.flags import parse_config, run_door
from sagan_tf.exporting.options import ExportOptions


def main(options: ExportOptions) -> None:
    """Export what the options ask for."""
    # Here, so that TensorFlow is loaded only when there is work to do: `--help` and mistyped flags answer at once.
    from sagan_tf.cli.console import log_to_console
    from sagan_tf.cli.load_tensorflow import load_tensorflow

    load_tensorflow()
    log_to_console()
    from sagan_tf.exporting.export import export

    export(options, lambda path: parse_config([f"--flagfile={path}"]))


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_door("sagan_tf.export", __doc__, main, ExportOptions, argv=argv)


if __name__ == "__main__":
    sys.exit(run())
