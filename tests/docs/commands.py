"""The commands of this project in the blocks and the text of pages, and their flags."""

import contextlib
import dataclasses
import functools
import importlib
import io
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from sagan_tf.config import Config
from tools.write_command_reference import COMMANDS, TOOLS, read_every_help

TRAIN = COMMANDS[0]
ALIASES = {
    "tools/launch/train.sbatch": TRAIN,
    "tools/launch/ablation.sbatch": "tools/ablation.py",
    **{f"sagan-{name.split('.')[1]}": name for name in COMMANDS[:4]},
}
"""Programs that pass their arguments to a command."""
ARGPARSE_TOOLS = ("tools/compile_for_tpu.py", "tools/run_lowered_training.py")
OTHER_FLAGS = {
    "name": "stands for any flag",
    "noname": "stands for any flag",
    "logdir": "tensorboard",
    "tensorflow_intra_op_parallelism": "tensorflow_model_server",
    "shm-size": "docker",
    "G_ortho": "BigGAN-PyTorch",
}
"""Flags of other programs that the text names without their program."""
_OPERATORS = re.compile(r"[|;&<>()\n]+")
_NAME = re.compile(r"--(?:\[no\])?([A-Za-z][\w-]*)")


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of this project.

    Attributes:
        program: One of COMMANDS or TOOLS.
        arguments: What follows it.
    """

    program: str
    arguments: tuple[str, ...]

    def list_flags(self) -> list[str]:
        """Return the names of the flags, with `no` where a flag has it."""
        matches = (re.match(r"--(\w+)", argument) for argument in self.arguments)
        return [match[1] for match in matches if match]


def split_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each simple command of shell commands."""
    text = re.sub(r"(?m)(^|\s)#(\s.*)?$", r"\1", text.replace("\\\n", " "))
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|;&<>()\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    words: list[str] = []
    for word in lexer:
        if _OPERATORS.fullmatch(word):
            yield words
            words = []
        else:
            words.append(word)
    yield words


def find_command(words: list[str]) -> Command | None:
    """Return the command of this project that the words call; None for another program."""
    for index, word in enumerate(words):
        rest = tuple(words[index + 1 :])
        name = ALIASES.get(word, word)
        if name in COMMANDS:
            return Command(name, rest)
        if rest and f"{name} {rest[0]}" in TOOLS:
            return Command(f"{name} {rest[0]}", rest[1:])
        if name in TOOLS:
            return Command(name, rest)
        for tool in TOOLS:  # A tool may be copied to another machine, without its directory.
            if word == tool.rpartition("/")[2]:
                return Command(tool, rest)
    return None


@functools.cache
def find_flags(program: str) -> frozenset[str]:
    """Return the names of the flags that a program accepts, also in their negative form."""
    text = read_every_help()[program]
    found = re.findall(r"(?m)^  (?:-\w, )?--(\[no\])?(\w+)", text)
    names = {name for _, name in found} | {f"no{name}" for negative, name in found if negative}
    return frozenset(names | {"help", "flagfile"})


@functools.cache
def find_all_flags() -> frozenset[str]:
    return frozenset().union(*map(find_flags, COMMANDS + TOOLS))


def find_unknown_flags(span: str) -> list[str]:
    """Return the flags of an inline code span that its program, or else every program, does not have.

    A span of another program, such as `pip install --editable .`, has none.
    """
    words = span.replace("…", " ").replace("...", " ").split()
    command = find_command(words)
    if command is None and (not words or not (words[0].startswith("--") or words[0] in TOOLS)):
        return []
    known = find_flags(command.program) | {"name", "noname"} if command else find_all_flags() | set(OTHER_FLAGS)
    named = [name for word in words for name in _NAME.findall(word.partition("=")[0])]
    return [name for name in named if name not in known]


def find_argument_error(command: Command, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let a program parse the arguments and check its options, without doing its work.

    Returns:
        The error; empty if the arguments are valid.
    """
    unknown = [name for name in command.list_flags() if name not in find_flags(command.program)]
    if unknown:
        return f"{command.program} has no flag --{unknown[0]}"
    if command.program in ARGPARSE_TOOLS:
        return ""
    name, *first = command.program.removesuffix(".py").replace(".py ", " ").replace("/", ".").split()
    module: Any = importlib.import_module(name)
    monkeypatch.setattr(module, "main", _check_training if command.program == TRAIN else lambda *arguments: None)
    if command.program == TRAIN:
        monkeypatch.setattr(module, "describe", lambda config, output: _check_training(config))
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        status = module.run([*first, *command.arguments])
    return "" if status == 0 else errors.getvalue().strip() or f"status {status}"


def _check_training(config: Config) -> None:
    """Check a configuration as training does before it opens the data."""
    from sagan_tf.training.validation import check_config, check_flags

    check_config(config)
    check_flags(config)
