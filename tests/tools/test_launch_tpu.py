"""The requirements for a TPU VM are those of setup.py, with tensorflow-tpu in the place of tensorflow."""

from __future__ import annotations

import ast
import importlib.metadata
import pathlib
import re

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = ROOT / "tools" / "launch"
DIFFERENT = {"tensorflow", "tensorflow-tpu", "libtpu", "tf-keras"}


def by_name(lines: list[str]) -> dict[str, SpecifierSet]:
    requirements = [Requirement(line) for line in lines]
    names = [canonicalize_name(one.name) for one in requirements]
    assert len(set(names)) == len(names)
    return dict(zip(names, (one.specifier for one in requirements), strict=True))


def read(name: str) -> dict[str, SpecifierSet]:
    lines = (LAUNCH / name).read_text().splitlines()
    return by_name([line for line in lines if line and not line.startswith("#")])


@pytest.fixture
def required() -> dict[str, SpecifierSet]:
    """What setup.py requires."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "INSTALL_REQUIRES":
            return by_name(ast.literal_eval(node.value))
    raise AssertionError("setup.py has no INSTALL_REQUIRES")


def test_only_tensorflow_and_what_is_made_for_it_differ(required: dict[str, SpecifierSet]) -> None:
    with_dependencies, without = read("tpu-requirements.txt"), read("tpu-requirements-no-deps.txt")
    assert not set(with_dependencies) & set(without)
    installed = with_dependencies | without
    assert set(installed) == set(required) - {"tensorflow"} | {"tensorflow-tpu", "libtpu"}
    for name in set(required) - DIFFERENT:
        assert installed[name] == required[name], name
    # The Keras of version 2 is made for one minor version of TensorFlow.
    minor_versions = {next(iter(installed[name])).version.rpartition(".")[0] for name in ("tensorflow-tpu", "tf-keras")}
    assert len(minor_versions) == 1
    assert "0.0.27" in installed["libtpu"] and "0.0.32.1" not in installed["libtpu"]


def test_nothing_that_is_installed_with_its_dependencies_brings_tensorflow() -> None:
    """As far as what is installed here goes: packages of the first file, and all that they require."""
    names, seen = set(read("tpu-requirements.txt")) - DIFFERENT, set()
    while names:
        seen.add(name := names.pop())
        for line in importlib.metadata.requires(name) or []:
            if "extra ==" not in re.sub(r"\s+", " ", line):
                names |= {canonicalize_name(Requirement(line).name)} & _installed() - seen
    assert not seen & {"tensorflow", "tf-keras"}


def _installed() -> set[str]:
    return {canonicalize_name(one.name) for one in importlib.metadata.distributions()}
