"""Export the generator of a run: `python -m sagan_tf.export --run_dir=DIR --formats=saved_model,tflite`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sagan_tf.cli.callable_module import make_callable
from sagan_tf.cli.command_line import run_command_line
from sagan_tf.exporting.options import ExportOptions


def main(options: ExportOptions) -> None:
    """Export a run as the options describe."""
    # TensorFlow is imported here, so that `--help` and errors in flags do not wait for it.
    from sagan_tf.cli.load_tensorflow import load_tensorflow
    from sagan_tf.log import log_to_console

    load_tensorflow()
    log_to_console()
    from sagan_tf.exporting.export import export

    export(options)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run_command_line("sagan_tf.export", __doc__, main, ExportOptions, argv=argv)


make_callable(__name__)

if __name__ == "__main__":
    sys.exit(run())
