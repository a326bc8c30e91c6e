"""Compiler for a TPU, in a separate environment if there is one."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from sagan_tf.cli.flags import parse_config
from sagan_tf.training.state import create_state
from tests.test_structure import find_imports_in_file
from tools import compile_for_tpu
from tools.compile_for_tpu import main
from tools.lowering.updates import lower_updates

ROOT = pathlib.Path(__file__).parents[2]
TOOL = ROOT / "tools" / "compile_for_tpu.py"
PYTHON_VARIABLE = "SAGAN_TF_JAX_PYTHON"
"""Environment variable with the path of a Python that has JAX and the TPU compiler."""


@pytest.fixture(autouse=True)
def _keep_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.fixture
def python_with_compiler() -> str:
    """Return a Python with JAX and libtpu."""
    python = os.environ.get(PYTHON_VARIABLE, sys.executable)
    if subprocess.run([python, "-c", "import jax, libtpu"], capture_output=True, check=False).returncode:
        pytest.skip(
            f"{python} has no TPU compiler; create an environment with `python -m venv DIR` and "
            f"`DIR/bin/pip install 'jax[tpu]'`, and set {PYTHON_VARIABLE}=DIR/bin/python"
        )
    return python


def test_the_compiler_runs_without_this_package() -> None:
    modules = {name.partition(".")[0] for _, name in find_imports_in_file(TOOL)}
    assert modules - sys.stdlib_module_names == {"numpy", "jax"}


def test_every_module_has_a_line(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(compile_for_tpu, "compile_module", lambda text, topology: {"size": len(text)})
    paths = [tmp_path / "first.mlir", tmp_path / "second.mlir"]
    for path, text in zip(paths, ["module", "long module"], strict=True):
        path.write_text(text)
    assert main([*map(str, paths), "--topology=v5e:4x4"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["module"] for line in lines] == [str(path) for path in paths]
    assert [line["size"] for line in lines] == [6, 11] and {line["topology"] for line in lines} == {"v5e:4x4"}


@pytest.mark.parametrize("missing", ["file", "jax"])
def test_a_missing_file_or_package_is_named(
    missing: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    path = tmp_path / "one.mlir"
    if missing == "jax":
        path.write_text("module")
    monkeypatch.setitem(sys.modules, "jax", None)  # importing it fails
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(path) in error and ("jax[tpu]" in error) == (missing == "jax")


@pytest.mark.slow
def test_both_updates_compile_for_a_tpu(python_with_compiler: str, tmp_path: pathlib.Path) -> None:
    flags = ["--num_classes=1000", "--base_channels=8", "--global_batch_size=4", "--resampling=strided"]
    config = parse_config([f"--flagfile={ROOT / 'configs' / 'imagenet.cfg'}", *flags])
    state = create_state(config)
    paths = []
    for name, module in lower_updates(config, state).items():
        paths.append(tmp_path / f"{name}.mlir")
        paths[-1].write_text(module)
    command = [python_with_compiler, str(TOOL), *map(str, paths)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    for line, network in zip(lines, (state.discriminator, state.generator), strict=True):
        result = json.loads(line)
        print(line)
        weights = sum(4 * variable.shape.num_elements() for variable in network.trainable_variables)
        assert "TPU" in result["device"] and result["operations"] > 0 and result["temporary"] > 0
        # Weights and Adam's second moments are parameters, and results that replace them.
        assert result["parameters"] >= 2 * weights and result["aliased"] >= 2 * weights
