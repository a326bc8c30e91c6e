"""Report of a run as one HTML page, to send to a colleague.

    python tools/report.py --run_dir=RUN_DIR [--output=report.html]

The page has the metrics, the values of each class, health, curves, sample grids during training, attention maps of the
EMA generator, configuration and versions of the run. It needs no other file and no network.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # Makes `tools` importable from this script.

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.config.option import check_given, option
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_file, write_result_atomically
from sagan_tf.runs.run_directory import RunDirectory


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """Options of the report."""

    run_dir: str = option("", "Directory of the run.")
    output: str = option("", "File of the page; empty: report.html in the run's directory.")

    def __post_init__(self) -> None:
        check_given(self, "run_dir")


def main(options: ReportOptions) -> None:
    """Write the report of a run.

    Args:
        options: The options of the report.

    Raises:
        UserError: There is no run in `run_dir`, it cannot be read, or the page cannot be written.
    """
    directory = RunDirectory(options.run_dir)
    if not directory.flags.is_file():
        raise UserError(f"run_dir: expected the directory of a run, with flags.cfg in it, received {options.run_dir}")
    output = Path(os.path.expanduser(options.output)) if options.output else directory.path / "report.html"
    check_can_write_file(output, "output")
    # The libraries for charts and pages are imported here, so that `--help` and errors in flags do not wait for them.
    from tools.reporting.page import format_page

    try:
        page = format_page(directory)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"run_dir: cannot read {error.filename or directory.path} ({reason})") from error
    write_result_atomically(output, "output", page)
    sys.stdout.write(f"report of {directory.path} in {output}\n")


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command_line("tools/report.py", __doc__, main, ReportOptions, argv=argv)


if __name__ == "__main__":
    sys.exit(run())
