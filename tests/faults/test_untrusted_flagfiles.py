"""Tests of hostile flagfiles: every command ends at once with status 2 and an error of one line."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sagan_tf.cli.flags import parse_config
from sagan_tf.config.flagfile import MAX_FLAGFILES
from sagan_tf.serving import client
from tests import commands

COMMANDS = {
    "train": commands.train,
    "evaluate": commands.evaluate,
    "sample": commands.sample,
    "export": commands.export,
    "serving.client": client.run,
}


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


@pytest.mark.parametrize(
    ("command", "kind"),
    [*(("train", kind) for kind in HOSTILE), *((command, "terminal escape") for command in COMMANDS)],
)
def test_every_command_prints_one_line(kind, command, tmp_path, capsys):
    make, reason = HOSTILE[kind]
    path = tmp_path / "hostile.cfg"
    make(path)
    began = time.perf_counter()
    assert COMMANDS[command]([f"--flagfile={path}"]) == 2
    assert time.perf_counter() - began < 2
    out, err = capsys.readouterr()
    assert_one_line(f"sagan_tf.{command}", out, err, reason)


def test_largest_number_of_flagfiles_and_an_empty_flagfile(tmp_path):
    (tmp_path / "a.cfg").write_text("--seed=3\n")
    argument = f"--flagfile={tmp_path / 'a.cfg'}"
    assert parse_config([argument] * MAX_FLAGFILES).training.seed == 3
    assert parse_config(["--flagfile=/dev/null", argument]).training.seed == 3
