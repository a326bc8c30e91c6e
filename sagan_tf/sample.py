"""Makes pictures of a run or an exported model: `python -m sagan_tf.sample --run_dir=DIR --mode=grid --output=FILE`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sagan_tf.cli.flags import parse_config, run_door
from sagan_tf.sampling.options import SampleOptions


def main(options: SampleOptions) -> None:
    """Make the pictures that the options ask for."""
    # Here, so that TensorFlow is loaded only when there is work to do: `--help` and mistyped flags answer at once.
    from sagan_tf.cli.console import log_to_console
    from sagan_tf.cli.load_tensorflow import load_tensorflow

    load_tensorflow()
    log_to_console()
    from sagan_tf.sampling.sample import make_samples

    make_samples(options, lambda path: parse_config([f"--flagfile={path}"]))


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_door("sagan_tf.sample", __doc__, main, SampleOptions, argv=argv)


if __name__ == "__main__":
    sys.exit(run())
