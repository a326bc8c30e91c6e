"""Links of pages, the files of the repository that they name, and names of the package."""

import ast
import functools
import pathlib
import re

import pytest

from tests.docs.pages import (
    GENERATED,
    PAGES,
    ROOT,
    find_anchors,
    find_blocks,
    find_code_spans,
    find_links,
    read_page,
    read_prose,
)

DIRECTORIES = ("sagan_tf", "tools", "configs", "tests", "docs", "notebooks")
_PATH = re.compile(rf"(?<![\w/.*-])(?:{'|'.join(DIRECTORIES)})/[\w./*-]*[\w/*]")
_DOTTED = re.compile(r"(?<![\w./-])sagan_tf(?:\.[A-Za-z_]\w*)+")
ELSEWHERE = ("sagan_tf/references",)  # in the user's cache directory
every_page = pytest.mark.parametrize("page", [*PAGES, *GENERATED], ids=lambda page: str(page.relative_to(ROOT)))


@every_page
def test_links_are_valid(page):
    for line, link in find_links(page):
        place = f"{page.relative_to(ROOT)}:{line}: {link}"
        assert not link.startswith("http://"), place
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), place
        # The site has only the files of docs/.
        assert page.parent == ROOT or target.is_relative_to(ROOT / "docs"), place
        assert not anchor or anchor in find_anchors(target), place


def exists(path: str) -> bool:
    """Return whether a path or pattern in the repository exists."""
    return any(ROOT.glob(path.rstrip("/"))) if "*" in path else (ROOT / path).exists()


@every_page
def test_files_that_the_text_names_exist(page):
    made = set(re.findall(r"(?m)^\+\+\+ b/(\S+)", read_page(page))) | set(ELSEWHERE)
    missing = []
    for number, line in enumerate(read_page(page).splitlines(), 1):
        found = [path for path in _PATH.findall(line.replace("**", " ")) if path not in made and not exists(path)]
        missing += [f"{page.relative_to(ROOT)}:{number}: {path}" for path in found]
    assert missing == []


@every_page
def test_modules_that_the_text_names_exist(page):
    """Names such as `layers/self_attention.py` are relative to the package or to a directory of the repository."""
    for line, span in find_code_spans(read_prose(page)):
        if re.fullmatch(r"(?:\w+/)+\w+\.(?:py|cfg|md)", span):
            roots = (ROOT, *(ROOT / name for name in DIRECTORIES), page.parent)
            assert any((root / span).exists() for root in roots) or span.split("/")[0] not in {
                path.name for root in roots for path in root.iterdir()
            }, f"{page.relative_to(ROOT)}:{line}: {span}"


@functools.cache
def list_names(path: pathlib.Path, inside: str = "") -> frozenset[str]:
    """Return the names that a module, or a class in it, defines or imports."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    if inside:
        body = next(node.body for node in body if isinstance(node, ast.ClassDef) and node.name == inside)
    names: set[str] = set()
    for node in body:
        for part in ast.walk(node) if not isinstance(node, ast.ClassDef | ast.FunctionDef) else [node]:
            if isinstance(part, ast.ClassDef | ast.FunctionDef):
                names.add(part.name)
            elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                names.add(part.id)
            elif isinstance(part, ast.Import | ast.ImportFrom):
                names.update(alias.asname or alias.name for alias in part.names)
    return frozenset(names)


def is_defined(dotted: str) -> bool:
    """Return whether a dotted name of the package exists, without importing the module."""
    place, rest = ROOT, dotted.split(".")
    while rest and (place / rest[0]).is_dir():
        place /= rest.pop(0)
    module = place / "__init__.py"
    if rest and (place / f"{rest[0]}.py").exists():
        module = place / f"{rest.pop(0)}.py"
    if not rest:
        return module.exists()
    if rest[0] not in list_names(module):
        return False
    if len(rest) == 1 or module.name == "__init__.py":
        return True
    return rest[1] in list_names(module, rest[0])


def test_examples_of_defined_names():
    assert all(map(is_defined, ("sagan_tf.train", "sagan_tf.layers.SelfAttention2D", "sagan_tf.errors.UserError")))
    assert is_defined("sagan_tf.config.config.Config.from_flagfile") and is_defined("sagan_tf.load_generator")
    assert not any(map(is_defined, ("sagan_tf.trains", "sagan_tf.layers.SelfAttention", "sagan_tf.nothing.there")))


@every_page
def test_names_of_the_package_exist(page):
    text = [(block.line, block.text) for block in find_blocks(page) if block.info != "diff"]
    text += enumerate(read_prose(page), 1)
    unknown = {(line, name) for line, part in text for name in _DOTTED.findall(part) if not is_defined(name)}
    assert unknown == set()
