"""Versions of the packages in the image and on TPU VMs: complete, accepted, with code for old GPUs."""

from __future__ import annotations

import ast
import dataclasses
import logging
import pathlib

import pytest
import tensorflow as tf
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from sagan_tf.distribution.gpu_findings import Gpu, examine_gpu
from sagan_tf.distribution.gpu_software import read_cuda_requirements, read_gpu_software

ROOT = pathlib.Path(__file__).parents[2]
BUILT_FOR_TENSORFLOW = {"tensorflow", "tensorflow-tpu", "libtpu", "tf-keras"}


def read_setup(name: str) -> object:
    """Return the value of a constant in setup.py."""
    nodes = [node for node in ast.parse((ROOT / "setup.py").read_text()).body if isinstance(node, ast.Assign)]
    (value,) = [node.value for node in nodes if ast.unparse(node.targets[0]) == name]
    return ast.literal_eval(value)


def parse_requirements(lines: object) -> dict[str, SpecifierSet]:
    assert isinstance(lines, list)
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    specifiers = {str(canonicalize_name(requirement.name)): requirement.specifier for requirement in requirements}
    assert len(specifiers) == len(requirements)
    return specifiers


def read_requirements(name: str) -> dict[str, SpecifierSet]:
    return parse_requirements((ROOT / "tools" / "launch" / name).read_text().splitlines())


@pytest.fixture(scope="module")
def pins() -> dict[str, Version]:
    assert "--constraint gpu-constraints.txt" in (ROOT / "tools" / "launch" / "Dockerfile").read_text()
    specifiers = read_requirements("gpu-constraints.txt")
    return {name: Version(str(specifier).removeprefix("==")) for name, specifier in specifiers.items()}


@pytest.fixture(scope="module")
def extra() -> dict[str, SpecifierSet]:
    """Return the requirements of the extra `gpu`."""
    extras = read_setup("EXTRAS_REQUIRE")
    assert isinstance(extras, dict)
    return parse_requirements(extras["gpu"])


def test_every_package_of_the_extra_is_pinned_and_accepted(
    pins: dict[str, Version], extra: dict[str, SpecifierSet]
) -> None:
    if pins["tensorflow"].release[:2] != Version(tf.__version__).release[:2]:
        pytest.skip(f"the constraints are for TensorFlow {pins['tensorflow']}, and {tf.__version__} is installed")
    required = {requirement.name: requirement.specifier for requirement in read_cuda_requirements()}
    assert required and {"tensorflow", *required} == set(pins)
    for name, specifier in [*extra.items(), *required.items()]:
        assert specifier.contains(pins[name]), name


def test_the_pins_have_code_for_every_gpu_of_tensorflow(pins: dict[str, Version]) -> None:
    cudnn = pins["nvidia-cudnn-cu12"]
    software = dataclasses.replace(read_gpu_software(), cudnn=(cudnn.major, cudnn.minor), driver_cuda=None)
    for capability in ((6, 0), (6, 1), (7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0)):
        findings = examine_gpu(Gpu("a GPU", capability), software, "float32")
        assert not [finding for finding in findings if finding.level >= logging.ERROR], capability


def test_a_tpu_vm_has_our_requirements_with_tensorflow_tpu() -> None:
    required = parse_requirements(read_setup("INSTALL_REQUIRES"))
    first, second = (read_requirements(f"tpu-requirements{suffix}.txt") for suffix in ("", "-no-deps"))
    assert not set(first) & set(second)
    installed = first | second
    assert set(installed) == set(required) - {"tensorflow"} | {"tensorflow-tpu", "libtpu"}
    for name in set(required) - BUILT_FOR_TENSORFLOW:
        assert installed[name] == required[name], name
    # Keras 2 is built for one minor version of TensorFlow.
    versions = [next(iter(installed[name])).version for name in ("tensorflow-tpu", "tf-keras")]
    assert len({version.rpartition(".")[0] for version in versions}) == 1
