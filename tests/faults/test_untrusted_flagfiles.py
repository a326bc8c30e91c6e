"""Tests of hostile flagfiles: every command ends at once with status 2 and an error of one line."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sagan_tf.cli.flags import parse_config
from sagan_tf.config.flagfile import MAX_FLAGFILES

ROOT = Path(__file__).parents[2]
COMMANDS = {
    name: importlib.import_module(f"sagan_tf.{name}").run
    for name in ("train", "evaluate", "sample", "export", "serving.client")
}
PROGRAMS = [f"sagan_tf.{name}" for name in COMMANDS]


def write_file_including_itself(path: Path) -> None:
    path.write_text(f"--flagfile={path.name}\n")


def write_two_files_including_each_other(path: Path) -> None:
    path.write_text("--flagfile=other.cfg\n")
    path.with_name("other.cfg").write_text(f"--flagfile={path.name}\n")


def write_file_including_itself_by_a_link(path: Path) -> None:
    path.write_text("--flagfile=link.cfg\n")
    path.with_name("link.cfg").symlink_to(path)


def write_exponential_inclusion(path: Path) -> None:
    """Write files that each include the next one twice, which would be 2**30 files in total."""
    path.write_text("--flagfile=0.cfg\n")
    for index in range(30):
        path.with_name(f"{index}.cfg").write_text(f"--flagfile={index + 1}.cfg\n" * 2)
    path.with_name("30.cfg").write_text("--seed=1\n")


def write_long_chain(path: Path) -> None:
    path.write_text("--flagfile=0.cfg\n")
    for index in range(2000):
        path.with_name(f"{index}.cfg").write_text(f"--flagfile={index + 1}.cfg\n")


def write_terabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "unknown flag": (lambda path: path.write_text("--resolutoin=64\n"), "--resolutoin"),
    "flag of absl": (lambda path: path.write_text("--undefok=x\n"), "--undefok"),
    "no flag": (lambda path: path.write_text("import os\n"), "hostile.cfg, line 1: "),
    "shell command": (lambda path: path.write_text("$(touch here)\n`touch here`\n"), "hostile.cfg, line 1: "),
    "itself": (write_file_including_itself, "itself"),
    "each other": (write_two_files_including_each_other, "itself"),
    "itself by a link": (write_file_including_itself_by_a_link, "itself"),
    "exponential inclusion": (write_exponential_inclusion, "100 flagfiles"),
    "long chain": (write_long_chain, "100 flagfiles"),
    "missing": (lambda path: None, "No such file or directory"),
    "directory": (lambda path: path.mkdir(), "Is a directory"),
    "link to itself": (lambda path: path.symlink_to(path.name), "--flagfile="),
    "pipe": (os.mkfifo, "pipe"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "1048576 bytes"),
    "terabyte": (write_terabyte, "1048576 bytes"),
    "binary": (lambda path: path.write_bytes(bytes(range(256)) * 99), "text"),
    "zeros": (lambda path: path.write_bytes(bytes(9999)), "text"),
    "zero in a path": (lambda path: path.write_text("--flagfile=a\0b\n"), "text"),
    "long line": (lambda path: path.write_text("x" * 10**6), "hostile.cfg, line 1: "),
    "long name": (lambda path: path.write_text(f"--{'x' * 10**6}=1"), "--xxx"),
    "long path": (lambda path: path.write_text(f"--flagfile={'x' * 10**5}"), "File name too long"),
    "terminal escape": (lambda path: path.write_text("--\x1b[2J\x07=1\n"), r"--\x1b[2J\x07"),
}


def assert_one_line(program: str, out: str, err: str, reason: str) -> None:
    """Check that the output of a program is one line of error, which may follow a usage line."""
    *usage, line = err.splitlines()
    assert out == "" and len(usage) <= 1 and all(text.startswith("usage: python -m ") for text in usage)
    assert line.startswith(f"{program}: error: ") and reason in line, line[:500]
    assert line.isprintable() and len(line) < 5000


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_prints_one_line(
    kind: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, reason = HOSTILE[kind]
    path = tmp_path / "hostile.cfg"
    make(path)
    began = time.perf_counter()
    assert COMMANDS[command]([f"--flagfile={path}"]) == 2
    assert time.perf_counter() - began < 2
    assert_one_line(f"sagan_tf.{command}", *capsys.readouterr(), reason)


def test_commands_in_separate_processes(tmp_path: Path) -> None:
    path = tmp_path / "hostile.cfg"
    path.write_text("# A comment.\n--\x1b[2Jresolutoin=64\n")
    commands = [[sys.executable, "-m", program, f"--flagfile={path}"] for program in PROGRAMS]
    started = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    for program, process in zip(PROGRAMS, started, strict=True):
        out, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert_one_line(program, out, err, r"--\x1b[2Jresolutoin")


def test_largest_number_of_flagfiles_and_an_empty_flagfile(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_text("--seed=3\n")
    argument = f"--flagfile={tmp_path / 'a.cfg'}"
    assert parse_config([argument] * MAX_FLAGFILES).training.seed == 3
    assert parse_config(["--flagfile=/dev/null", argument]).training.seed == 3
