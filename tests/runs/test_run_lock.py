"""Two processes, one folder: the second is told who the first is, and a killed one stands in nobody's way."""

from __future__ import annotations

import errno
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from sagan_tf import train
from sagan_tf.errors import UserError
from sagan_tf.runs.run_lock import LOCK_FILE, run_lock
from tests.training.tiny import PLAIN_FLAGS

ROOT = pathlib.Path(__file__).parents[2]
HOLDER = """
import pathlib, sys
from sagan_tf.runs.run_lock import run_lock
with run_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
SMALL = ["--dataset=fashion_mnist_10k", "--resolution=32", "--image_channels=1", *PLAIN_FLAGS]
SMALL += ["--base_channels=2", "--global_batch_size=8", "--strategy=one_device", "--num_steps=2", "--steps_per_loop=2"]


def holder(folder: pathlib.Path) -> subprocess.Popen[str]:
    """A process that has the lock."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str], *, kill: bool) -> None:
    if kill:
        process.kill()
    process.communicate()


def test_only_one_has_it(tmp_path: pathlib.Path) -> None:
    with run_lock(tmp_path):
        with pytest.raises(UserError) as caught, run_lock(tmp_path):
            pass
        owner = f"in use by process {os.getpid()} on {socket.gethostname()} since 20"
        assert str(caught.value).startswith(
            f"run_dir: expected a directory in which no other process is training, received {tmp_path}"
        )
        assert owner in str(caught.value)
    with run_lock(tmp_path):
        pass
    assert (tmp_path / LOCK_FILE).read_text() == ""


@pytest.mark.parametrize("kill", [True, False])
def test_a_process_that_has_ended_does_not(kill: bool, tmp_path: pathlib.Path) -> None:
    process = holder(tmp_path)
    with pytest.raises(UserError, match=f"in use by process {process.pid} on "), run_lock(tmp_path):
        pass
    end(process, kill=kill)
    with run_lock(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK_FILE).read_text()


def test_a_second_training_is_refused_and_changes_nothing(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = holder(tmp_path)
    try:
        assert train.run([*SMALL, f"--run_dir={tmp_path}"]) == 2
        assert "received" in (error := capsys.readouterr().err) and f"in use by process {process.pid} on" in error
        assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]
    finally:
        end(process, kill=True)
    assert train.run([*SMALL, f"--run_dir={tmp_path}"]) == 0


def test_a_lock_that_is_a_directory(tmp_path: pathlib.Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(UserError, match=f"^run_dir: .*{LOCK_FILE}.*remove it"), run_lock(tmp_path):
        raise AssertionError("not reached")
    assert (tmp_path / LOCK_FILE).is_dir()


def test_a_lock_of_another_user(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: pathlib.Path, *arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    with pytest.raises(UserError, match="^run_dir: .*permissions") as caught, run_lock(tmp_path):
        raise AssertionError("not reached")
    assert "remove" not in str(caught.value)
