"""Check of how a configuration trains on this machine's GPUs; takes a few minutes, and writes JSON for a bug report.

    python tools/gpu_check.py --flagfile=configs/imagenet.cfg
    python tools/gpu_check.py --flagfile=configs/imagenet.cfg --global_batch_size=64 --forms=tf32,mixed_bfloat16

The tool describes devices, driver and libraries; times all-reduce, decoding and some training steps in several forms of
computation (float32, TensorFloat-32, half precision, XLA); compares the first step with the CPU's; and recommends
flags. It checks the GPUs of one machine, or the CPU of a machine without GPUs; TPUs and other machines are not used.
The JSON file is written after every part, so that the results are kept if a later part hangs or is interrupted. No run
is started, and no other file is written.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # Makes `tools` importable from this script.

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config import Config
from sagan_tf.files import check_can_write_file, write_result_atomically
from tools.benchmark import format_table
from tools.gpu_checking.check import run_check
from tools.gpu_checking.options import GpuCheckOptions
from tools.gpu_checking.tables import format_conclusion, format_environment, format_forms, format_throughput
from tools.machine import collect_machine_facts, describe_machine

_TABLES = {
    "environment": format_environment,
    "decoding": format_throughput,
    "comparison": format_forms,
    "recommendation": format_conclusion,
}
"""Functions that format a table, by the part of the check after which the table is printed."""


def main(options: GpuCheckOptions, config: Config) -> None:
    """Run the check; print and write the result of each part as soon as it is known.

    Args:
        options: The options of the check.
        config: The configuration to check.

    Raises:
        UserError: The configuration is wrong, or the JSON file cannot be written.
    """
    output = Path(os.path.expanduser(options.json)) if options.json else None
    if output is not None:
        check_can_write_file(output, "json")
    load_tensorflow()
    from sagan_tf.training.validation import check_config

    check_config(config)
    found = {"machine": collect_machine_facts()}
    _print(describe_machine(found["machine"]))
    for name, part in run_check(options, config, _report):
        found[name] = part
        if output is not None:
            _write(output, found)
        if name in _TABLES:
            _print("\n" + format_table(_TABLES[name](found)))
    if output is not None:
        _print(f"\nall figures in {output}")


def _write(output: Path, found: dict[str, Any]) -> None:
    content = json.dumps(found, indent=1) + "\n"
    write_result_atomically(output, "json", content)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _report(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command_line("tools/gpu_check.py", __doc__, main, GpuCheckOptions, Config, argv=argv, prints_result=True)


if __name__ == "__main__":
    sys.exit(run())
