"""Tests that no input file can execute code: no pickle, no eval, and no functions that use them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sagan_tf.errors import UserError
from sagan_tf.evaluation.reference import load_reference

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "sagan_tf").rglob("*.py"), *(ROOT / "tools").rglob("*.py"), ROOT / "setup.py"])

MODULES = ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "dbm", "yaml", "runpy")
"""Modules that load arbitrary objects or run files."""
CALLS = ("eval", "exec", "compile", "__import__", "os.system", "os.popen")
MARKS = ("allow_pickle=True", "weights_only=False", "safe_mode=False", "enable_unsafe_deserialization", "shell=True")


def find_imported_modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def find_unsafe_code(text: str) -> list[str]:
    """Return the imports, calls and arguments in a source file that could execute code from an input file."""
    tree = ast.parse(text)
    found = [name for name in find_imported_modules(tree) if name.partition(".")[0] in MODULES]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found += [ast.unparse(call.func) for call in calls if ast.unparse(call.func) in CALLS]
    for call in calls:
        keywords = [ast.unparse(keyword) for keyword in call.keywords]
        found += [mark for mark in MARKS if mark in keywords or mark in ast.unparse(call.func)]
        # The argument must be explicit.
        if ast.unparse(call.func) in ("np.load", "numpy.load") and "allow_pickle=False" not in keywords:
            found.append("np.load without allow_pickle=False")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_files_have_no_unsafe_code(path):
    assert find_unsafe_code(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "import os, shelve as s",
        "def f():\n    from yaml.loader import Loader",
        "eval(text)",
        "exec(open(path).read())",
        "__import__(name)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=allowed)",
        "keras.models.load_model(path, safe_mode=False)",
        "keras.config.enable_unsafe_deserialization()",
        "subprocess.run(text, shell=True)",
    ],
)
def test_unsafe_code_is_found(text):
    assert find_unsafe_code(text)


def test_similar_safe_code_is_not_found():
    assert find_unsafe_code("import json\nre.compile('a')\nself.eval(x)\nnp.load(path, allow_pickle=False)") == []


class Program:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)


def test_program_in_a_reference_is_not_executed(tmp_path):
    trap = tmp_path / "executed"
    np.savez(tmp_path / "a.npz", format=np.array([Program(trap)], object))
    with pytest.raises(UserError, match="reference: expected an .npz file that sagan_tf.evaluate wrote"):
        load_reference(tmp_path / "a.npz")
    assert not trap.exists()
    np.load(tmp_path / "a.npz", allow_pickle=True)["format"]  # This checks that the program works.
    assert trap.exists()
