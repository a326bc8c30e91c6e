"""Flagfiles that someone else wrote: whatever is in them, a door says one line and ends with status 2, at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sagan_tf import evaluate, export, sample, train
from sagan_tf.cli.flags import parse_config
from sagan_tf.config import flagfile
from sagan_tf.serving import client

ROOT = Path(__file__).parents[2]
DOORS = {"train": train.run, "evaluate": evaluate.run, "sample": sample.run, "export": export.run}
PROGRAMS = [*(f"sagan_tf.{name}" for name in DOORS), "sagan_tf.serving.client"]


def includes_itself(path: Path) -> None:
    path.write_text(f"--flagfile={path.name}\n")


def includes_itself_by_another(path: Path) -> None:
    path.write_text("--flagfile=other.cfg\n")
    path.with_name("other.cfg").write_text(f"--flagfile={path.name}\n")


def includes_itself_by_a_link(path: Path) -> None:
    path.write_text("--flagfile=link.cfg\n")
    path.with_name("link.cfg").symlink_to(path)


def includes_more_and_more(path: Path) -> None:
    """Each names the next one twice: a thousand million files in the end."""
    path.write_text("--flagfile=0.cfg\n")
    for index in range(30):
        path.with_name(f"{index}.cfg").write_text(f"--flagfile={index + 1}.cfg\n" * 2)
    path.with_name("30.cfg").write_text("--seed=1\n")


def includes_a_long_chain(path: Path) -> None:
    path.write_text("--flagfile=0.cfg\n")
    for index in range(2000):
        path.with_name(f"{index}.cfg").write_text(f"--flagfile={index + 1}.cfg\n")


def is_larger_than_any(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "unknown flag": (lambda path: path.write_text("--resolutoin=64\n"), "unknown flag --resolutoin"),
    "absl's own": (lambda path: path.write_text("--undefok=x\n"), "unknown flag --undefok"),
    "no flag": (lambda path: path.write_text("import os\n"), "line 1: expected --name=value"),
    "a command": (lambda path: path.write_text("$(touch here)\n`touch here`\n"), "line 1: expected --name=value"),
    "itself": (includes_itself, "the file includes itself"),
    "itself by another": (includes_itself_by_another, "the file includes itself"),
    "itself by a link": (includes_itself_by_a_link, "the file includes itself"),
    "more and more": (includes_more_and_more, "expected at most 100 flagfiles, received more"),
    "a long chain": (includes_a_long_chain, "expected at most 100 flagfiles, received more"),
    "nothing there": (lambda path: None, "cannot be read: No such file or directory"),
    "a folder": (lambda path: path.mkdir(), "cannot be read: Is a directory"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "cannot be read: "),
    "a pipe": (os.mkfifo, "expected a file, received a pipe"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "expected at most 1048576 bytes, received more"),
    "a terabyte": (is_larger_than_any, "expected at most 1048576 bytes, received more"),
    "binary": (lambda path: path.write_bytes(bytes(range(256)) * 99), "expected text, received other bytes"),
    "zeros": (lambda path: path.write_bytes(bytes(9999)), "expected text, received other bytes"),
    "a zero in a path": (lambda path: path.write_text("--flagfile=a\0b\n"), "expected text, received other bytes"),
    "a long line": (lambda path: path.write_text("x" * 10**6), "line 1: expected --name=value"),
    "a long name": (lambda path: path.write_text(f"--{'x' * 10**6}=1"), "unknown flag --xxx"),
    "a long path": (lambda path: path.write_text(f"--flagfile={'x' * 10**5}"), "cannot be read: File name too long"),
    "a terminal's command": (lambda path: path.write_text("--\x1b[2J\x07=1\n"), r"unknown flag --\x1b[2J\x07"),
}


def assert_one_line(program: str, out: str, err: str, reason: str) -> None:
    *usage, line = err.splitlines()
    assert out == "" and len(usage) <= 1 and all(one.startswith("usage: python -m ") for one in usage)
    assert line.startswith(f"{program}: error: ") and reason in line, line[:500]
    assert line.isprintable() and len(line) < 5000


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("door", DOORS)
def test_every_door_says_one_line(kind: str, door: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, reason = HOSTILE[kind]
    path = tmp_path / "hostile.cfg"
    make(path)
    began = time.perf_counter()
    assert DOORS[door]([f"--flagfile={path}"]) == 2
    assert time.perf_counter() - began < 2
    assert_one_line(f"sagan_tf.{door}", *capsys.readouterr(), reason)


@pytest.mark.parametrize("kind", ["unknown flag", "itself", "binary", "nothing there"])
def test_the_client_takes_no_flagfile(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hostile.cfg"
    HOSTILE[kind][0](path)
    with pytest.raises(SystemExit) as caught:
        client.run(["--server=localhost:1", f"--output={tmp_path / 'a.png'}", f"--flagfile={path}"])
    assert caught.value.code == 2
    assert_one_line("sagan_tf.serving.client", *capsys.readouterr(), "unrecognized arguments: --flagfile=")


def test_as_a_user_opens_them(tmp_path: Path) -> None:
    """In processes of their own, all at once."""
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
        reason = "--server" if program.endswith("client") else r"unknown flag --\x1b[2Jresolutoin"
        assert_one_line(program, out, err, reason)


def test_a_hundred_flagfiles_are_read_and_so_is_none(tmp_path: Path) -> None:
    (tmp_path / "one.cfg").write_text("--seed=3\n")
    one = f"--flagfile={tmp_path / 'one.cfg'}"
    assert parse_config([one] * flagfile._MOST_FLAGFILES).training.seed == 3
    assert parse_config(["--flagfile=/dev/null", one]).training.seed == 3
