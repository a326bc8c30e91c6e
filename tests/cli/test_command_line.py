"""Tests of the command line of a module: help, results and errors."""

import dataclasses
import pathlib
import subprocess
import sys

import pytest

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.config import Config, get_option_fields
from sagan_tf.config.option import option
from sagan_tf.errors import CommandEndedError, UserError

ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """Options of a command."""

    mode: str = option("grid", "Kind of image.", choices=("grid", "classes"))
    rows: int = option(8, "Rows of the grid.")


def run(*argv: str) -> int:
    return run_command_line("sagan_tf.sample", "Draws samples.", lambda options: None, SampleOptions, argv=argv)


def test_help_shows_every_flag_with_values_default_and_meaning(capsys):
    assert run_command_line("sagan_tf.train", "Trains.", lambda config: None, Config, argv=["--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("usage: python -m sagan_tf.train ")
    shown = " ".join(captured.out.split())
    for name, (_, field) in get_option_fields().items():
        assert f"--{name}=" in shown or f"--[no]{name} " in shown
        assert " ".join(field.metadata["help"].split()) in shown
    assert "--precision=float32|mixed_bfloat16|mixed_float16 (default: float32)" in shown
    assert "--generator_attention_resolutions=INTEGER,... (default: unset)" in shown


def test_main_receives_the_flagfiles() -> None:
    received: list[object] = []

    def main(*arguments: object) -> None:
        received.extend(arguments)

    assert run_command_line("tool.py", None, main, SampleOptions, argv=["--rows=3"], passes_flagfiles=True) == 0
    assert received == [SampleOptions(rows=3), {"rows": None}]


def test_invalid_flag_prints_usage_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--mode=map") == 2
    captured = capsys.readouterr()
    usage, error = captured.err.splitlines()
    assert usage.startswith("usage: python -m sagan_tf.sample ")
    assert error.startswith("sagan_tf.sample: error: --mode=map: ")
    assert captured.out == ""


def test_user_error_is_printed_in_one_line(capsys):
    def main(options: SampleOptions) -> None:
        raise UserError("run_dir: expected a run,\nreceived nothing")

    assert run_command_line("sagan_tf.sample", None, main, SampleOptions, argv=[]) == 2
    assert capsys.readouterr().err == "sagan_tf.sample: error: run_dir: expected a run, received nothing\n"


def test_arguments_besides_the_flags_are_in_the_usage(capsys):
    run_command_line("tool.py ACTION DIR", None, print, SampleOptions, argv=["--help"])
    assert capsys.readouterr().out.startswith("usage: python tool.py ACTION DIR [--flagfile=FILE]")


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file", "absent/\nfile"), ConnectionResetError()])
def test_an_error_of_the_operating_system_is_printed_in_one_line(error, capsys):
    def main(options: SampleOptions) -> None:
        raise error

    assert run_command_line("sagan_tf.sample", None, main, SampleOptions, argv=[]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sagan_tf.sample: error: ") and ("absent" in line or "ConnectionResetError" in line)
    assert "SAGAN_TF_DEBUG" in line and ("permissions" if error.filename else "network") in line


@pytest.mark.parametrize("value", ["", "1"])
def test_the_traceback_of_an_error_of_the_operating_system_is_shown_on_request(value, monkeypatch, capsys):
    monkeypatch.setenv("SAGAN_TF_DEBUG", value)

    def fail_in_this_function(options: SampleOptions) -> None:
        raise OSError(28, "No space left on device")

    assert run_command_line("sagan_tf.sample", None, fail_in_this_function, SampleOptions, argv=[]) == 2
    captured = capsys.readouterr()
    assert ("in fail_in_this_function" in captured.err) == (value == "1") and captured.out == ""
    assert captured.err.splitlines()[-1].startswith("sagan_tf.sample: error: ")
    assert value or captured.err.count("\n") == 1


def test_a_command_ends_with_a_status_of_its_own(capsys):
    def main(options: SampleOptions) -> None:
        raise CommandEndedError("3 checks failed", status=1)

    assert run_command_line("sagan_tf.sample", None, main, SampleOptions, argv=[]) == 1
    assert capsys.readouterr().err == "sagan_tf.sample: 3 checks failed\n"


def test_interrupt_exits_with_130_and_a_bug_keeps_its_traceback(capsys):
    def interrupt(options: SampleOptions) -> None:
        raise KeyboardInterrupt

    def fail(options: SampleOptions) -> None:
        raise ValueError("a bug")

    assert run_command_line("sagan_tf.sample", None, interrupt, SampleOptions, argv=[]) == 130
    assert capsys.readouterr().err == "sagan_tf.sample: interrupted\n"
    with pytest.raises(ValueError, match="a bug"):
        run_command_line("sagan_tf.sample", None, fail, SampleOptions, argv=[])


def test_help_does_not_load_tensorflow():
    program = (
        "import sys, sagan_tf\n"
        "from sagan_tf import config\nfrom sagan_tf.cli import command_line\n"
        "status = command_line.run_command_line('sagan_tf.train', None, print, config.Config, argv=['--help'])\n"
        "sys.exit(status or 'tensorflow' in sys.modules or 'numpy' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, capture_output=True)
