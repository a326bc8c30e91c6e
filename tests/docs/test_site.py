"""The site and the command reference are built from what is in the repository."""

import functools
import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT, read_page
from tools import write_command_reference
from tools.write_command_reference import PAGES, TOOLS, format_page, parse_help

_LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//[^>]*>|"""
    r"""<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon))[^>]*\bhref=["']?(?:https?:)?//[^>]*>|"""
    r"""url\(["']?(?:https?:)?//[^)]*\)|@import\s+["'](?:https?:)?//"""
)


@functools.cache
def format_reference(name: str) -> str:
    return format_page(*PAGES[name])


@pytest.mark.parametrize("name", PAGES)
def test_command_reference_is_current(name):
    assert read_page(ROOT / "docs" / "reference" / name) == format_reference(name), "run `make reference`"


def test_every_tool_with_flags_is_in_the_reference():
    files = [path for path in (ROOT / "tools").rglob("*.py") if '"__main__"' in path.read_text(encoding="utf-8")]
    has_flags = re.compile(r"run_command_line\(|ArgumentParser\(")
    tools = {str(path.relative_to(ROOT)) for path in files if has_flags.search(path.read_text(encoding="utf-8"))}
    assert tools == {tool.split()[0] for tool in TOOLS}


def test_parts_of_a_help_text():
    text = (
        "usage: python a.py\n\nDo it.\n\nMore.\n\n  --flagfile=FILE\n      Reads\n      flags.\n\n"
        "Options of a.\n  --[no]b (default: true)\n      Text.\n"
    )
    usage, summary, sections = parse_help(text)
    assert (usage, summary) == ("usage: python a.py", "Do it.\n\nMore.")
    assert [section.heading for section in sections] == ["", "Options of a."]
    assert sections[0].flags == (("--flagfile=FILE", None, "Reads flags."),)
    assert sections[1].flags == (("--[no]b", "true", "Text."),)


def test_reference_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(write_command_reference, "format_page", lambda title, *_: title)
    assert write_command_reference.run([f"--output={tmp_path / 'new'}"]) == 0
    assert {path.name: path.read_text() for path in (tmp_path / "new").iterdir()} == {
        name: title for name, (title, *_) in PAGES.items()
    }


@pytest.mark.parametrize(
    ("text", "is_loaded"),
    [
        ('<script src="https://a.org/b.js">', True),
        ('<link rel="stylesheet" href="//a.org/b.css">', True),
        ("@import url(https://a.org/b.css)", True),
        ('<script src="assets/b.js"></script> <a href="https://a.org">', False),
    ],
)
def test_files_from_a_network_are_found(text, is_loaded):
    assert bool(_LOADED.search(text)) == is_loaded


def build_site(directory: pathlib.Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", f"--site-dir={directory}"]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_site_has_no_warnings_and_loads_nothing_from_a_network(tmp_path):
    build_site(tmp_path)
    pages = [path for path in tmp_path.rglob("*") if path.suffix in (".html", ".css")]
    loaded = {(path.name, text) for path in pages for text in _LOADED.findall(path.read_text(encoding="utf-8"))}
    assert len(pages) > 30 and loaded == set()
    assert "Load the generator of a run" in (tmp_path / "reference" / "api.html").read_text(encoding="utf-8")
