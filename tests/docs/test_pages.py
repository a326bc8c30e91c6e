"""Every command and every Python block of the pages runs, at toy size, in a directory that is made for it.

A block that cannot run there has a comment with its reason.
"""

import collections
import os
import pathlib
import shutil
import subprocess

import pytest

from tests.docs.pages import PAGES, RECORDS, ROOT, Block, find_blocks
from tests.docs.prepared import PythonBlocks, copy_with_change, make_environment, prepare_directory, run_shell

EXECUTED = ("bash", "python")


def is_run(block: Block) -> bool:
    return block.info in EXECUTED and block.comment[0] != "not tested"


PAGES_WITH_BLOCKS = [page for page in PAGES if RECORDS not in page.parents and any(map(is_run, find_blocks(page)))]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> tuple[pathlib.Path, dict[str, str]]:
    """Return the prepared directory, which no test changes, and the environment of commands."""
    root = tmp_path_factory.mktemp("prepared")
    environment = make_environment(root / "home")
    prepare_directory(root / "directory", environment)
    return root / "directory", environment


def run_blocks(page: pathlib.Path, directory: pathlib.Path, place: pathlib.Path, environment: dict[str, str]) -> None:
    """Run the blocks of a page in a copy of the prepared directory, and those after a change in a copy with it."""
    shutil.copytree(directory, place / "page")
    with PythonBlocks(place / "page", environment, place / "python.log") as python:
        for block in find_blocks(page):
            kind, name = block.comment
            if kind == "diff":
                copy_with_change(directory, block.text, place / name)
            elif is_run(block) and block.info == "python":
                python.run(block)
            elif is_run(block):
                run_shell(block, place / (name if kind == "after" else "page"), environment)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run(page, prepared, tmp_path):
    run_blocks(page, prepared[0], tmp_path, prepared[1])
    shutil.rmtree(tmp_path)


def test_changes_of_pages_can_be_applied():
    changes = [block for page in PAGES for block in find_blocks(page) if block.info == "diff"]
    # In a copy inside of another repository, git would check nothing.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(ROOT.parent)}
    for block in changes:
        command = ["git", "apply", "--check", "-"]
        done = subprocess.run(command, cwd=ROOT, env=environment, input=block.text, capture_output=True, text=True)
        assert done.returncode == 0, f"{block.place}: {done.stderr}"
    assert changes


def test_most_blocks_run():
    blocks = [block for page in PAGES if RECORDS not in page.parents for block in find_blocks(page)]
    blocks = [block for block in blocks if block.info in EXECUTED]
    reasons = collections.Counter(block.comment[1] for block in blocks if not is_run(block))
    assert reasons.total() < 0.4 * len(blocks), f"{reasons.total()} of {len(blocks)} blocks do not run: {dict(reasons)}"
