"""Flags and commands that pages name exist, and the commands accept them."""

import pathlib
import re
import shutil

import pytest

from sagan_tf.cli.flags import parse_config
from tests.docs.commands import find_argument_error, find_command, find_unknown_flags, split_commands
from tests.docs.pages import PAGES, RECORDS, ROOT, find_blocks, find_code_spans, read_own_text

INFO_STRINGS = ("bash", "cfg", "console", "diff", "json", "python", "text", "yaml")
UNTESTED_REASONS = (
    "needs Docker",
    "needs a cluster",
    "needs a GPU",
    "needs a download",
    "needs a Debian package",
    "needs a browser",
    "runs until it is stopped",
)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.mark.parametrize(
    ("span", "unknown"),
    [
        ("--resolution=64", []),
        ("--resolutoin=64", ["resolutoin"]),
        ("--[no]random_flip", []),
        ("--norandom_flip", []),
        ("python -m sagan_tf.export --run_dir=DIR --resolution=64", ["resolution"]),
        ("tools/report.py --run_dir=DIR", []),
        ("tools/benchmark.py quality --seeds=3 --peer=plain", ["peer"]),
        ("pip install --editable .", []),
        ("--logdir=DIR", []),
        ("python -m sagan_tf.train --logdir=DIR", ["logdir"]),
    ],
)
def test_flags_of_code_spans(span, unknown):
    assert find_unknown_flags(span) == unknown


@every_page
def test_flags_in_the_text_exist(page):
    lines = read_own_text(page)
    unknown = [(line, span) for line, span in find_code_spans(lines) if find_unknown_flags(span)]
    for number, line in enumerate(lines, 1):
        words = re.findall(r"(?<![\w-])--\w[\w=.]*", re.sub(r"`[^`]*`", "", line))
        unknown += [(number, word) for word in words if find_unknown_flags(word)]
    for block in find_blocks(page):
        commands = [line for line in block.text.splitlines() if line.startswith("python ")] * (block.info == "text")
        unknown += [(block.line, command) for command in commands if find_unknown_flags(command)]
    assert unknown == []


@every_page
def test_blocks_have_a_known_kind(page):
    for block in find_blocks(page):
        assert block.info in INFO_STRINGS or RECORDS in page.parents, f"{block.place}: {block.info!r}"
        assert block.comment[0] != "not tested" or block.comment[1] in UNTESTED_REASONS, block.place
        assert "OUTPUT NEEDED" not in block.text, block.place


@pytest.fixture
def page_directory(tmp_path, monkeypatch):
    """Return the current directory, in which the flagfiles exist that the commands of pages read."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for name in ("quickstart", "copy"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        shutil.copy(ROOT / "configs" / "quickstart.cfg", tmp_path / "runs" / name / "flags.cfg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_flagfiles(page: pathlib.Path) -> list[str]:
    """Write the flagfiles of a page, which have the names in their first lines, and return these names."""
    names = []
    for block in find_blocks(page):
        if block.info == "cfg":
            name = re.match(r"# ([\w/]+\.cfg)\b", block.text)
            names.append(name[1] if name else f"line_{block.line}.cfg")
            pathlib.Path(names[-1]).write_text(block.text)
    return names


@every_page
def test_commands_of_blocks_are_valid(page, page_directory, monkeypatch):
    write_flagfiles(page)
    errors = []
    for block in find_blocks(page):
        commands = filter(None, map(find_command, split_commands(block.shell)))
        found = filter(None, (find_argument_error(command, monkeypatch) for command in commands))
        errors += [f"{block.place}: {error}" for error in found]
    assert errors == []


@every_page
def test_flagfiles_are_valid(page, page_directory):
    for name in write_flagfiles(page):
        parse_config([f"--flagfile={name}"])
