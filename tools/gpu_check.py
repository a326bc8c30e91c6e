"""Checks within minutes how a configuration trains on this machine's GPUs; its JSON belongs in a bug report.

    python tools/gpu_check.py --flagfile=configs/imagenet.cfg
    python tools/gpu_check.py --flagfile=configs/imagenet.cfg --global_batch_size=64 --forms=tf32,mixed_bfloat16

It describes devices, driver and libraries, times all-reduce, decoding and some training steps in several forms of
computation (float32, TensorFloat-32, half precision, XLA), compares a first step with the CPU's, and recommends flags.
It also runs without a GPU. Nothing is written but the JSON file; no run is started.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `tools`, where this is run as a script

from sagan_tf.config import Config
from sagan_tf.console import load_tensorflow
from sagan_tf.files import check_can_write_file, write_atomically, write_result
from sagan_tf.flags import run_door
from tools.benchmark import describe, format_table
from tools.benchmarks.measure import machine
from tools.gpu_checking.check import run_check
from tools.gpu_checking.options import GpuCheckOptions
from tools.gpu_checking.tables import conclusion_rows, environment_rows, form_rows


def main(options: GpuCheckOptions, config: Config) -> None:
    """Check, print the tables and write the JSON file."""
    output = Path(os.path.expanduser(options.json)) if options.json else None
    if output is not None:
        check_can_write_file(output, "json")
    load_tensorflow()
    from sagan_tf.training.session import check_config

    check_config(config)
    about = machine()
    sys.stdout.write(describe(about) + "\n")
    found = {"machine": about} | run_check(options, config, _report)
    for rows in (environment_rows(found), form_rows(found), conclusion_rows(found)):
        sys.stdout.write(f"\n{format_table(rows)}\n")
    if output is not None:
        content = json.dumps(found, indent=1) + "\n"
        write_result(output, "json", lambda path: write_atomically(path, content))
        sys.stdout.write(f"\nall figures in {output}\n")


def _report(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_door("tools/gpu_check.py", __doc__, main, GpuCheckOptions, Config, argv=argv, prints_result=True)


if __name__ == "__main__":
    sys.exit(run())
