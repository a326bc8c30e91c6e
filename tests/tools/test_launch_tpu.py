"""Requirements for a TPU VM: those of setup.py, with tensorflow-tpu in place of tensorflow."""

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


def parse_requirements(lines: list[str]) -> dict[str, SpecifierSet]:
    requirements = [Requirement(line) for line in lines]
    names = [canonicalize_name(requirement.name) for requirement in requirements]
    assert len(set(names)) == len(names)
    return dict(zip(names, (requirement.specifier for requirement in requirements), strict=True))


def read_requirements(name: str) -> dict[str, SpecifierSet]:
    lines = (LAUNCH / name).read_text().splitlines()
    return parse_requirements([line for line in lines if line and not line.startswith("#")])


@pytest.fixture
def required() -> dict[str, SpecifierSet]:
    """Return the requirements of setup.py."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "INSTALL_REQUIRES":
            return parse_requirements(ast.literal_eval(node.value))
    raise AssertionError("setup.py has no INSTALL_REQUIRES")


def test_only_tensorflow_and_packages_built_for_it_differ(required: dict[str, SpecifierSet]) -> None:
    with_dependencies, without = (
        read_requirements("tpu-requirements.txt"),
        read_requirements("tpu-requirements-no-deps.txt"),
    )
    assert not set(with_dependencies) & set(without)
    installed = with_dependencies | without
    assert set(installed) == set(required) - {"tensorflow"} | {"tensorflow-tpu", "libtpu"}
    for name in set(required) - DIFFERENT:
        assert installed[name] == required[name], name
    # Keras 2 is built for one minor version of TensorFlow.
    minor_versions = {next(iter(installed[name])).version.rpartition(".")[0] for name in ("tensorflow-tpu", "tf-keras")}
    assert len(minor_versions) == 1
    assert "0.0.27" in installed["libtpu"] and "0.0.32.1" not in installed["libtpu"]


def test_no_package_that_is_installed_with_its_dependencies_requires_tensorflow() -> None:
    """Check the packages of the first file and their installed dependencies."""
    names, seen = set(read_requirements("tpu-requirements.txt")) - DIFFERENT, set()
    while names:
        seen.add(name := names.pop())
        for line in importlib.metadata.requires(name) or []:
            if "extra ==" not in re.sub(r"\s+", " ", line):
                names |= {canonicalize_name(Requirement(line).name)} & _list_installed_packages() - seen
    assert not seen & {"tensorflow", "tf-keras"}


def _list_installed_packages() -> set[str]:
    return {canonicalize_name(package.name) for package in importlib.metadata.distributions()}
