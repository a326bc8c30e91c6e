import io
import logging
import os
import pathlib
import subprocess
import sys

import pytest

from sagan_tf.cli.console import run_command
from sagan_tf.log import log_to_console
from sagan_tf.progress import progress_bar

ROOT = pathlib.Path(__file__).parents[2]
NAMES = {"latin": os.fsdecode(b"caf\xe9"), "utf8": os.fsdecode("naïve".encode())}
COMMAND = (
    "import sys; from sagan_tf.cli.console import run_command; from tests.cli.test_console import {0}; sys.exit({0}())"
)


def show_names() -> int:
    """Log and print the arguments, and create a file of each name in the directory of the first argument."""

    def main() -> int:
        log_to_console()
        for name in sys.argv[2:]:
            logging.getLogger("sagan_tf").info("log %s", name)
            print(name, flush=True)
            pathlib.Path(sys.argv[1], name).touch()
        return 0

    return run_command("show_names", main)


def write_large_output() -> int:
    """Write more than the buffers hold to both streams, and the descriptor of a new file into that file."""

    def main() -> int:
        for _ in range(3):
            print("x" * 10_000, flush=True)
            print("y" * 10_000, file=sys.stderr, flush=True)
        with open(sys.argv[1], "w") as file:
            file.write(str(file.fileno()))
        return 0

    return run_command("write_large_output", main, prints_result="--prints_result" in sys.argv)


def start(function: str, *arguments: str, redirect: str = "", **environment: str) -> subprocess.CompletedProcess:
    """Run a function of this module as a command in a process of its own."""
    command = ["sh", "-c", f'"$@" {redirect}', "sh", sys.executable, "-c", COMMAND.format(function), *arguments]
    return subprocess.run(command, capture_output=True, cwd=ROOT, env=os.environ | environment, timeout=120)


@pytest.mark.skipif(sys.platform != "linux", reason="file names with arbitrary bytes")
@pytest.mark.parametrize(
    ("environment", "encoding"),
    [
        ({}, "utf-8"),
        ({"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, "ascii"),
        ({"PYTHONIOENCODING": "latin-1"}, "latin-1"),
    ],
)
def test_file_names_with_arbitrary_bytes(tmp_path, environment, encoding):
    done = start("show_names", str(tmp_path), *NAMES.values(), **environment)
    shown = "".join(f"log {name}\n{name}\n" for name in NAMES.values()).encode(encoding, "backslashreplace")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == shown
    assert set(os.listdir(tmp_path)) == set(NAMES.values())


@pytest.mark.parametrize(
    ("redirect", "prints_result", "status", "error"),
    [
        (">&- 2>&- <&-", False, 0, b""),
        ("2>&- | head -1", True, 0, b""),
        ("2>&1 >/dev/null | head -c 1 >&2", False, 0, b"y"),
        (">/dev/full 2>/dev/full", False, 0, b""),
    ],
)
def test_command_continues_if_output_cannot_be_written(tmp_path, redirect, prints_result, status, error):
    output = tmp_path / "output"
    command, _, reader = redirect.partition("|")
    redirect = f'{command}; echo $? >"{tmp_path}/status"' + (f"; }} | {reader}" if reader else "; }")
    function = COMMAND.format("write_large_output")
    arguments = [str(output), *(["--prints_result"] if prints_result else [])]
    script = ["sh", "-c", f'{{ "$@" {redirect}', "sh", sys.executable, "-c", function, *arguments]
    done = subprocess.run(script, capture_output=True, cwd=ROOT, timeout=120)
    assert done.stderr == error
    assert int((tmp_path / "status").read_text()) == status
    assert int(output.read_text()) > 2  # not the descriptor of a standard stream


def test_full_disk_is_reported_in_one_line(tmp_path):
    done = start("show_names", str(tmp_path), "name", redirect=">/dev/full")
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 0
    assert line.startswith("show_names: warning")


def test_missing_streams_are_replaced(monkeypatch):
    def main() -> int:
        print("lost")
        print("lost", file=sys.stderr)
        with progress_bar(2, unit="image") as bar:
            bar.update()
        return 3

    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert progress_bar(2, unit="image").disable
    assert run_command("test", main, restart=False) == 3


def start_child() -> int:
    """Start a child process that inherits the descriptors and uses its standard streams."""
    child = 'import os; [os.write(number, b"x") for number in (1, 2)]; os.read(0, 1)'
    return run_command("start_child", lambda: subprocess.call([sys.executable, "-c", child], close_fds=False))


def test_child_process_has_standard_streams_if_the_command_has_none():
    assert start("start_child", redirect=">&- 2>&- <&-").returncode == 0


def write_to_full_pipe() -> int:
    """Print more than a pipe holds to a non-blocking standard output."""
    os.set_blocking(1, False)

    def main() -> int:
        for _ in range(30):
            print("x" * 10_000, flush=True)
        return 0

    return run_command("write_to_full_pipe", main)


def test_full_non_blocking_pipe_receives_all_output():
    done = start("write_to_full_pipe", redirect="| { sleep 1; cat; }")
    assert done.stdout == (b"x" * 10_000 + b"\n") * 30 and done.stderr == b""


def test_streams_of_the_caller_are_restored(monkeypatch, tmp_path):
    with (tmp_path / "file").open("w", encoding="ascii") as file:
        for stream, original in ((file, None), (file, file), (io.StringIO(), None), (None, None)):
            monkeypatch.setattr(sys, "stdout", stream)
            monkeypatch.setattr(sys, "__stdout__", original)
            run_command("test", lambda: sys.stdout.write("é") and 0, restart=False)
            assert sys.stdout is stream and getattr(stream, "errors", None) in ("strict", None)
    assert (tmp_path / "file").read_text() == "\\xe9" * 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(("text", "status"), [("x", 1), ("", 0)])
def test_lost_output_is_reported_once(text, status, monkeypatch):
    def main() -> int:
        sys.stdout.write(text)
        return 0

    with open("/dev/full", "w") as full:
        for name in ("stdout", "__stdout__"):
            monkeypatch.setattr(sys, name, full)
        assert run_command("test", main, prints_result=True, restart=False) == status
