"""Versions of the packages in the image: complete, accepted by TensorFlow, with code for old GPUs."""

from __future__ import annotations

import ast
import dataclasses
import logging
import pathlib

import pytest
import tensorflow as tf
from packaging.requirements import Requirement
from packaging.version import Version

from sagan_tf.distribution.gpu_findings import Gpu, examine_gpu
from sagan_tf.distribution.gpu_software import read_cuda_requirements, read_gpu_software

ROOT = pathlib.Path(__file__).parents[2]
CONSTRAINTS = ROOT / "tools" / "launch" / "gpu-constraints.txt"


def read_extra() -> list[Requirement]:
    """Return the requirements of the extra `gpu` in setup.py."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXTRAS_REQUIRE":
            return [Requirement(line) for line in ast.literal_eval(node.value)["gpu"]]
    raise AssertionError("setup.py has no EXTRAS_REQUIRE")


@pytest.fixture(scope="module")
def pins() -> dict[str, Version]:
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if line and not line.startswith("#")]
    requirements = [Requirement(line) for line in lines]
    specifiers = {requirement.name: list(requirement.specifier) for requirement in requirements}
    assert len(specifiers) == len(lines)
    assert all(len(found) == 1 and found[0].operator == "==" for found in specifiers.values())
    return {name: Version(specifier.version) for name, (specifier,) in specifiers.items()}


def test_every_package_of_the_extra_is_pinned_and_accepted(pins: dict[str, Version]):
    if pins["tensorflow"].release[:2] != Version(tf.__version__).release[:2]:
        pytest.skip(f"the constraints are for TensorFlow {pins['tensorflow']}, and {tf.__version__} is installed")
    requirements = read_cuda_requirements()
    assert requirements and {"tensorflow", *(requirement.name for requirement in requirements)} == set(pins)
    for requirement in [*read_extra(), *requirements]:
        assert requirement.specifier.contains(pins[requirement.name]), requirement


def test_the_extra_and_the_pins_have_code_for_every_gpu_of_tensorflow(pins: dict[str, Version]):
    newest = next(requirement for requirement in read_extra() if requirement.name == "nvidia-cudnn-cu12")
    assert newest.specifier.contains("9.10.2.21") and not newest.specifier.contains("9.11.0.98")
    cudnn = pins["nvidia-cudnn-cu12"]
    software = dataclasses.replace(read_gpu_software(), cudnn=(cudnn.major, cudnn.minor), driver_cuda=None)
    for capability in ((6, 0), (6, 1), (7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0)):
        findings = examine_gpu(Gpu("a GPU", capability), software, "float32")
        assert not [finding for finding in findings if finding.level >= logging.ERROR], capability


def test_the_image_uses_the_constraints():
    lines = [line.split() for line in (ROOT / "tools" / "launch" / "Dockerfile").read_text().splitlines()]
    copied = {pathlib.PurePath(source).name for line in lines if line[:1] == ["COPY"] for source in line[1:-1]}
    (install,) = [line for line in lines if line[:1] == ["RUN"] and "install" in line]
    constraints = install[install.index("--constraint") + 1]
    assert constraints == CONSTRAINTS.name and constraints in copied
    assert "'.[gpu]'" in install
    assert ["ENV", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"] in lines
    assert "://" not in CONSTRAINTS.read_text()
