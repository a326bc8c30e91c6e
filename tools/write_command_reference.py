"""Write the reference of the commands and tools in `docs/reference/` from their `--help`.

    python tools/write_command_reference.py

It writes `commands.md` and `tools.md`. A test fails if they are not those of this version.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import os
import pathlib
import re
import subprocess
import sys
import textwrap
from collections.abc import Sequence

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.config.option import option
from sagan_tf.files import check_can_write_directory, write_atomically

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
COMMANDS = ("sagan_tf.train", "sagan_tf.evaluate", "sagan_tf.sample", "sagan_tf.export", "sagan_tf.serving.client")
TOOLS = (
    "tools/lay_out_classes.py",
    "tools/lay_out_emoji.py",
    "tools/prepare_imagenet.py",
    "tools/prepare_fashion_mnist.py",
    "tools/report.py",
    "tools/import_tfgan_checkpoint.py",
    "tools/gpu_check.py",
    "tools/scaling.py",
    "tools/benchmark.py",
    *(
        f"tools/benchmark.py {name}"
        for name in (
            "train_step",
            "sampling",
            "image_files",
            "attention",
            "pipeline",
            "startup",
            "evaluation",
            "quality",
        )
    ),
    "tools/ablation.py",
    "tools/lower_training.py",
    *(f"tools/lower_training.py {name}" for name in ("write", "updates", "collect")),
    "tools/run_lowered_training.py",
    "tools/compile_for_tpu.py",
    "tools/serving/load_generator.py",
    "tools/train_fashion_mnist_classifier.py",
    "tools/make_fashion_mnist_10k.py",
    "tools/make_efficientnet_lite0.py",
    "tools/write_command_reference.py",
)
PAGES = {
    "commands.md": (
        "Commands",
        "This page lists every flag of the commands, as `--help` shows them.",
        COMMANDS,
    ),
    "tools.md": (
        "Tools",
        "This page describes the programs in `tools/` and lists their flags, as `--help` shows them. Run them in the "
        "directory of the repository.",
        TOOLS,
    ),
}
_NOTE = "<!-- Written by `make reference` from --help. Change the help texts in the code instead of this page. -->"
_WIDTH = 120
_FLAG = re.compile(r"  (?P<spelling>--\S+)(?: \(default: (?P<default>.*)\))?")


@dataclasses.dataclass(frozen=True)
class WritingOptions:
    """Options of the reference."""

    output: str = option("docs/reference", "Directory to write commands.md and tools.md to.")


@dataclasses.dataclass(frozen=True)
class Section:
    """Flags of a program under one heading.

    Attributes:
        heading: The heading; empty for the flags of every program.
        flags: For each flag: its spelling with a placeholder for the value, its default (None if it has none) and
            its description.
    """

    heading: str
    flags: tuple[tuple[str, str | None, str], ...]


@functools.cache
def read_help(program: str) -> str:
    """Return what a program prints for `--help`.

    Args:
        program: The name of a module, or the path of a script and an argument that it takes before its flags.
    """
    arguments = program.split() if "/" in program else ["-m", program]
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, *arguments, "--help"], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode("utf-8").replace(f"{REPOSITORY}/", "")


def read_every_help() -> dict[str, str]:
    """Return what every program prints for `--help`, by program."""
    programs = COMMANDS + TOOLS
    with concurrent.futures.ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as executor:
        return dict(zip(programs, executor.map(read_help, programs), strict=True))


def parse_help(text: str) -> tuple[str, str, list[Section]]:
    """Split the text of `--help` into the usage, the summary and the flags.

    The help of programs that use argparse is returned as the usage, without flags.
    """
    start = text.find("\n  --flagfile=FILE\n")
    if start < 0:
        usage, _, rest = text.partition("\n\n")
        return (text, "", []) if "show this help message" in text else (usage, rest, [])
    usage, _, summary = text[:start].partition("\n\n")
    sections = []
    for paragraph in text[start:].strip("\n").split("\n\n"):
        lines = paragraph.splitlines()
        heading = "" if lines[0].startswith("  --") else lines.pop(0)
        sections.append(Section(heading, tuple(_parse_flags(lines))))
    return usage, summary.strip("\n"), sections


def _parse_flags(lines: list[str]) -> list[tuple[str, str | None, str]]:
    flags: list[tuple[str, str | None, str]] = []
    for line in lines:
        match = None if line.startswith("      ") else _FLAG.fullmatch(line)
        if match:
            flags.append((match["spelling"], match["default"], ""))
        else:
            spelling, default, text = flags.pop()
            flags.append((spelling, default, f"{text} {line.strip()}".strip()))
    return flags


def format_page(title: str, introduction: str, programs: Sequence[str]) -> str:
    """Return the Markdown of a page of the reference."""
    helps = read_every_help()
    # The sections that training shares with another program; --dry_run belongs to training alone.
    shared = {section for program in (*COMMANDS[1:], *TOOLS) for section in parse_help(helps[program])[2]}
    training = {section for section in parse_help(helps[COMMANDS[0]])[2] if section.heading} & shared
    parts = [_NOTE, f"# {title}", "\n".join(textwrap.wrap(introduction, _WIDTH))]
    for program in programs:
        usage, summary, sections = parse_help(helps[program])
        name = program.removeprefix("sagan_tf.").removeprefix("tools/").removeprefix("serving.")
        parts += [f"## {name}", f"```text\n{usage.removeprefix('usage: ').strip()}\n```"]
        script = program.split()[0]
        is_repeated = script != program and summary in helps.get(script, "")
        parts += [summary.strip()] if summary and not is_repeated else []
        if program != COMMANDS[0] and training.issubset(sections):
            sections = [section for section in sections if section not in training]
            sections.append(Section("The flags of [train](commands.md#train).", ()))
        parts += [_format_section(section) for section in sections]
    return "\n\n".join(parts) + "\n"


def _format_section(section: Section) -> str:
    entries = []
    for spelling, default, text in section.flags:
        head = f"- `{spelling}`" + (f", default `{default}`" if default not in (None, "empty", "unset") else "")
        head += f", default {default}" if default in ("empty", "unset") else ""
        entries.append(_wrap(f"{head}: {_escape(text)}", "  "))
    title, colon, rest = section.heading.partition(": ")
    heading = [f"### {title}", f"{rest[:1].upper()}{rest[1:]}"] if colon else [f"**{title}**"]
    return "\n\n".join([*heading, "\n".join(entries)] if title else ["\n".join(entries)]).strip()


def _wrap(text: str, indent: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def _escape(text: str) -> str:
    return re.sub(r"([*<\[])", r"\\\1", text)


def main(options: WritingOptions) -> None:
    """Write the pages of the reference."""
    directory = pathlib.Path(options.output).expanduser()
    check_can_write_directory(directory, "output")
    directory.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        write_atomically(directory / name, format_page(*page))
        sys.stdout.write(f"{directory / name}\n")


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return run_command_line("tools/write_command_reference.py", __doc__, main, WritingOptions, argv=argv)


if __name__ == "__main__":
    sys.exit(run())
