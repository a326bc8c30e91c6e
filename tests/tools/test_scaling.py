"""`tools/scaling.py` as users run it, and docs/scaling.md, which shows its output."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagan_tf.cli.flags import parse_config
from tools import scaling
from tools.scaling_model import counts, tables

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "scaling.md"
EXAMPLE = r"```console\n\$ python tools/scaling\.py ((?:[^\n]*\\\n)*[^\n]*)\n(.*?)\n```"
EXAMPLES = re.findall(EXAMPLE, DOCUMENT.read_text(encoding="utf-8"), re.S)
# Small networks, which are counted quickly.
TINY = ["--dataset=cifar10", "--architecture=dcgan", "--resolution=32", "--attention_resolutions=", "--base_channels=2"]
TINY += ["--nogenerator_spectral_norm", "--nodiscriminator_spectral_norm"]


def run(*arguments: str) -> int:
    return scaling.run(arguments)


@pytest.fixture(scope="module", autouse=True)
def _count_each_configuration_once() -> Iterator[None]:
    """Count each configuration once for all commands of the document."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "create_state", functools.cache(tables.create_state))
        patch.setattr(counts, "count_step", functools.cache(counts.count_step))
        yield


def test_the_document_has_every_table() -> None:
    shown = ",".join(re.findall(r"--tables=(\S+)", " ".join(arguments for arguments, _ in EXAMPLES)))
    assert set(shown.split(",")) == set(scaling.TABLE_NAMES)


def test_the_tool_offers_every_table() -> None:
    assert list(scaling.TABLE_NAMES) == list(tables.TABLES)


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        pytest.param(
            arguments,
            output,
            id=" ".join(arguments.split()[:3]),
            # The other tables need the operations of a step to be counted, which takes longer.
            marks=[] if "--tables=memory" in arguments else pytest.mark.slow,
        )
        for arguments, output in EXAMPLES
    ],
)
def test_the_document_shows_what_the_tool_prints(
    arguments: str, output: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert run(*shlex.split(arguments.replace("\\\n", " "))) == 0
    assert capsys.readouterr().out.rstrip() == output.rstrip()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--workers=two"], ["--workers=two"]),
        (["--device=K80"], ["--device=K80", "A100_40GB"]),
        (["--tables=cake"], ["--tables=cake", "step"]),
        (["--workers="], ["workers: ", "empty"]),
        (["--workers=1,0"], ["workers: ", "0"]),
        (["--link_gbits=10,-1"], ["link_gbits: ", "-1.0"]),
        (["--utilization=1.5"], ["utilization: ", "1.5"]),
        (["--price_per_hour=0"], ["price_per_hour: ", "0.0"]),
        (["--flagfile=missing.cfg"], ["--flagfile="]),
        (["--dataset=folder"], ["num_classes: ", "folder"]),
        (["--precision=mixed_bfloat16", "--device=V100"], ["precision: ", "V100", "mixed_bfloat16"]),
        (["--jit_compile"], ["jit_compile: ", "true"]),
        (["--resolution=100"], ["resolution: ", "100"]),
        (["--global_batch_size=4", "--gradient_accumulation_steps=3"], ["global_batch_size: ", "3"]),
        ([*TINY, "--workers=3", "--tables=strong"], ["workers: ", "256"]),
    ],
)
def test_errors_are_one_line_with_the_option_and_the_value(
    arguments: list[str], named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = (line for line in printed.err.splitlines() if not line.startswith("usage: "))
    assert line.startswith("tools/scaling.py: error: ") and all(part in line for part in named)


@pytest.mark.parametrize(("flags", "expected"), [("--num_classes=7", 7), ("--conditioning=none", 0), ("", 1000)])
def test_number_of_classes(flags: str, expected: int) -> None:
    config = parse_config([flags, "--dataset=folder"] if flags else [])
    assert scaling.resolve_num_classes(config).model.num_classes == expected


def test_help_does_not_load_tensorflow() -> None:
    program = (
        "import sys; sys.path.insert(0, '.'); sys.argv = ['scaling.py', '--help']\n"
        "from tools import scaling\n"
        "from sagan_tf.cli.command_line import run_command_line\n"
        "classes = scaling.ScalingOptions, scaling.Config\n"
        "status = run_command_line('tools/scaling.py', scaling.__doc__, scaling.main, *classes)\n"
        "assert 'tensorflow' not in sys.modules\n"
        "sys.exit(status)\n"
    )
    shown = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"--{name}" in shown for name in ("workers", "link_gbits", "utilization", "price_per_hour", "precision"))


def test_the_tool_runs_as_a_program() -> None:
    command = [sys.executable, "tools/scaling.py", "--device=K80"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "tools/scaling.py: error: --device=K80" in done.stderr and not done.stdout
