"""Generate images from a run or an export: `python -m sagan_tf.sample --run_dir=DIR --mode=grid --output=FILE`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sagan_tf.cli.callable_module import make_callable
from sagan_tf.cli.command_line import run_command_line
from sagan_tf.sampling.options import SampleOptions


def main(options: SampleOptions) -> None:
    """Generate the images that the options describe."""
    # TensorFlow is imported here, so that `--help` and errors in flags do not wait for it.
    from sagan_tf.cli.load_tensorflow import load_tensorflow
    from sagan_tf.log import log_to_console

    load_tensorflow()
    log_to_console()
    from sagan_tf.sampling.sample import make_samples

    make_samples(options)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run_command_line("sagan_tf.sample", __doc__, main, SampleOptions, argv=argv)


make_callable(__name__)

if __name__ == "__main__":
    sys.exit(run())
