"""Tests of the lock of a run directory between two processes."""

import errno
import os
import pathlib
import socket
import subprocess
import sys

import pytest

from sagan_tf.errors import UserError
from sagan_tf.runs.run_lock import LOCK_FILE, find_lock_owner, lock_run_directory
from tests import commands
from tests.training.tiny import PLAIN_FLAGS, RUN_FLAGS

ROOT = pathlib.Path(__file__).parents[2]
HOLDER = """
import pathlib, sys
from sagan_tf.runs.run_lock import lock_run_directory
with lock_run_directory(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
SMALL = [*RUN_FLAGS, *PLAIN_FLAGS, "--num_steps=2", "--steps_per_loop=2"]


def start_holder(directory: pathlib.Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(directory)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_one_process_has_the_lock(tmp_path):
    with lock_run_directory(tmp_path):
        with pytest.raises(UserError) as caught, lock_run_directory(tmp_path):
            pass
        message = str(caught.value)
        assert message.startswith("run_dir: ") and str(tmp_path) in message
        assert f"process {os.getpid()} on {socket.gethostname()} since 20" in message
    with lock_run_directory(tmp_path):
        pass
    assert (tmp_path / LOCK_FILE).read_text() == ""


def test_only_a_process_that_has_the_lock_is_its_owner(tmp_path):
    assert find_lock_owner(tmp_path / LOCK_FILE) is None
    with lock_run_directory(tmp_path):
        owner = find_lock_owner(tmp_path / LOCK_FILE)
        text = (tmp_path / LOCK_FILE).read_text()
    assert owner is not None and (owner.pid, owner.host) == (os.getpid(), socket.gethostname())
    for left in (text, "damaged", ""):  # The text of a process that was killed stays.
        (tmp_path / LOCK_FILE).write_text(left)
        assert find_lock_owner(tmp_path / LOCK_FILE) is None


@pytest.mark.parametrize("kill", [True, False])
def test_a_second_training_is_rejected_until_the_first_process_ends(kill, tmp_path, capsys):
    process = start_holder(tmp_path)
    try:
        assert commands.train([*SMALL, f"--run_dir={tmp_path}"]) == 2
        assert f"process {process.pid} on" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]
    finally:
        if kill:
            process.kill()
        process.communicate()
    with lock_run_directory(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK_FILE).read_text()


def test_a_lock_file_that_is_a_directory(tmp_path):
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(UserError, match=f"^run_dir: .*{LOCK_FILE}.*remove it"), lock_run_directory(tmp_path):
        raise AssertionError("not reached")
    assert (tmp_path / LOCK_FILE).is_dir()


def test_a_lock_file_of_another_user(tmp_path, monkeypatch):
    def refuse(path: pathlib.Path, *arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    with pytest.raises(UserError, match="^run_dir: .*permissions") as caught, lock_run_directory(tmp_path):
        raise AssertionError("not reached")
    assert "remove" not in str(caught.value)
