"""The directory in which the commands of a page run, and the processes that run them."""

import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
from PIL import Image

from tests.docs.pages import ROOT, Block

SOURCES = ("configs", "docs", "notebooks", "sagan_tf", "tests", "tools")
TOY_SIZES = ("--base_channels=2", "--global_batch_size=8", "--num_steps=4", "--steps_per_loop=2")
TOY_FLAGS = (*TOY_SIZES, "--log_every=2", "--sample_every=50", "--checkpoint_every=50")
"""Flags that are added at the end of every training command and every configuration."""
RUN_FLAGS = (
    "--num_steps=1350",
    "--steps_per_loop=50",
    "--log_every=50",
    "--sample_every=450",
    "--checkpoint_every=450",
)
"""Flags of runs/quickstart, which has the steps of the quickstart."""
IMAGES_PER_CLASS = 30
_PYTHON = """#!/bin/bash
toy=()
case "$*" in
  *--help*) ;;
  "-m sagan_tf.train"*) toy=({flags}) ;;
esac
exec {python} "$@" "${{toy[@]}}"
"""
_BLOCKS = """
import json, os, sys, traceback
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
namespace = {"__name__": "__main__"}
for line in sys.stdin:
    place, text = json.loads(line)
    try:
        exec(compile(text, place, "exec"), namespace)
        error = ""
    except BaseException:
        error = traceback.format_exc()
    sys.stdout.flush()
    print(json.dumps(error), file=answers, flush=True)
"""


def write_images(directory: pathlib.Path, seed: int) -> None:
    """Write color images of several sizes and formats."""
    directory.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for index in range(IMAGES_PER_CLASS):
        pixels = random.integers(0, 256, (70 + index, 90 - index, 3), np.uint8)
        Image.fromarray(pixels).save(directory / f"{index}.{('png', 'jpg', 'webp')[index % 3]}")


def make_environment(home: pathlib.Path) -> dict[str, str]:
    """Return the environment of the commands: `python` is this interpreter and trains at toy sizes."""
    programs = home / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3"):
        (programs / name).write_text(_PYTHON.format(python=sys.executable, flags=" ".join(TOY_FLAGS)))
        (programs / name).chmod(0o755)
    # Variables of the test run that a user does not have.
    own = ("TF_CPP_MIN_LOG_LEVEL", "PYTHONPATH", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    path = os.pathsep.join([str(programs), str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")])
    return environment | {"PATH": path, "HOME": str(home)}


def prepare_directory(directory: pathlib.Path, environment: dict[str, str]) -> None:
    """Create a directory with the files of the repository, images, and the finished run of the quickstart."""
    directory.mkdir()
    for name in SOURCES:
        shutil.copytree(ROOT / name, directory / name)
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, directory)
    for path in (directory / "configs").glob("*.cfg"):
        path.write_text("\n".join([path.read_text(), *TOY_FLAGS, ""]))
    for seed, name in enumerate(("my_images", "held_out_images")):
        for label, class_name in enumerate(("apples", "pears")):
            write_images(directory / name / class_name, 2 * seed + label)
    write_images(directory / "loose_images", 4)
    run = functools.partial(run_command, directory=directory, environment=environment)
    training = [*RUN_FLAGS, "--run_dir=runs/quickstart"]
    run([sys.executable, "-m", "sagan_tf.train", "--flagfile=configs/quickstart.cfg", *training])
    run([sys.executable, "-m", "sagan_tf.evaluate", "--run_dir=runs/quickstart"])
    run([sys.executable, "-m", "sagan_tf.export", "--run_dir=runs/quickstart", "--formats=saved_model,tflite"])


def run_command(
    command: list[str], *, directory: pathlib.Path, environment: dict[str, str], text: str = "", place: str = "prepared"
) -> None:
    """Run a command; fail with the end of its output if its status is not 0."""
    done = subprocess.run(
        command, cwd=directory, env=environment, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, f"{place}: status {done.returncode}\n{done.stdout[-4000:]}"


def run_shell(block: Block, directory: pathlib.Path, environment: dict[str, str]) -> None:
    """Run the shell commands of a block; fail at the first command that fails."""
    command = ["bash", "-euo", "pipefail", "-c", block.text]
    run_command(command, directory=directory, environment=environment, place=block.place)


def copy_with_change(directory: pathlib.Path, change: str, changed: pathlib.Path) -> None:
    """Copy a prepared directory and apply a change in the format of `git diff`."""
    shutil.copytree(directory, changed)
    # The directory may be inside a repository, to which `git apply` would apply the change.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(changed.parent)}
    run_command(["git", "apply", "-"], directory=changed, environment=environment, text=change, place="the diff")


class PythonBlocks:
    """A process that executes the Python blocks of a page in one namespace.

    Args:
        directory: The current directory of the process.
        environment: Its environment.
        log: The file that receives what the blocks print.
    """

    def __init__(self, directory: pathlib.Path, environment: dict[str, str], log: pathlib.Path) -> None:
        command = [sys.executable, "-c", _BLOCKS]
        with log.open("w") as file:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )

    def run(self, block: Block) -> None:
        """Execute a block; fail if it raises an exception."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps([block.place, block.text]) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, f"{block.place}: the process ended with status {process.wait()}"
        error = json.loads(answer)
        assert not error, f"{block.place}: {error}"

    def __enter__(self) -> "PythonBlocks":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
