"""Tests of the notebooks: they are valid, name what exists, and run at toy sizes."""

import ast
import dataclasses
import importlib
import inspect
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest

import sagan_tf
from sagan_tf import api
from sagan_tf.config import Config, EvaluationConfig, get_option_values
from sagan_tf.config.option_names import METRICS
from sagan_tf.evaluation.options import EvaluateOptions
from sagan_tf.exporting.options import ExportOptions
from sagan_tf.sampling.options import SampleOptions

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXECUTION_SECONDS = 1200

# The values that replace those of the cell `parameters`, by notebook.
TOY_PARAMETERS: dict[str, dict[str, Any]] = {
    "train_and_look": {"CONFIG": "toy.cfg", "RUN_DIR": "run", "NUM_STEPS": 4, "EVALUATE_EVERY": 4, "THOUSANDS": 1},
    "own_images": {
        "IMAGES_DIR": "images",
        "HELD_OUT_DIR": "held_out",
        "RUN_DIR": "run",
        "IMAGES_PER_CLASS": 8,
        "BASE_CHANNELS": 8,
        "BATCH_SIZE": 8,
        "NUM_STEPS": 4,
    },
}
TOY_CONFIG = f"--flagfile={ROOT}/configs/quickstart.cfg\n--base_channels=8\n--global_batch_size=8\n"
MIN_IMAGES = {"train_and_look": 9, "own_images": 6}

RUN_OPTIONS = set(get_option_values(Config()))


def list_fields(*classes: Any) -> set[str]:
    return {field.name for option_class in classes for field in dataclasses.fields(option_class)}


# The options of each function, besides the parameters in its signature.
OPTIONS = {
    "evaluate": list_fields(EvaluateOptions, EvaluationConfig),
    "export": list_fields(ExportOptions),
    "from_flagfile": RUN_OPTIONS,
    "from_options": RUN_OPTIONS,
    "sample": list_fields(SampleOptions),
}

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read_notebook(path: pathlib.Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def iterate_nodes(path: pathlib.Path) -> Iterator[ast.AST]:
    """Yield every node of the syntax trees of the code cells."""
    for cell in read_notebook(path).cells:
        if cell.cell_type == "code":
            yield from ast.walk(ast.parse(cell.source))


def find_parameters(cell: nbformat.NotebookNode) -> list[str]:
    """Return the names that the parameter cell sets, each to a constant."""
    statements = ast.parse(cell.source).body
    assert all(isinstance(one, ast.Assign) and isinstance(ast.literal_eval(one.value), object) for one in statements)
    return [ast.unparse(one.targets[0]) for one in statements if isinstance(one, ast.Assign)]


def test_every_notebook_has_toy_parameters():
    assert {path.stem for path in NOTEBOOKS} == set(TOY_PARAMETERS)


@every_notebook
def test_notebook_is_valid_and_has_no_outputs(path):
    notebook = read_notebook(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.cells[0].source.startswith("# ")
    for cell in notebook.cells:
        assert cell.metadata == {}, cell.id
        assert cell.cell_type == "markdown" or (cell.outputs, cell.execution_count) == ([], None), cell.id


@every_notebook
def test_imports_and_functions_exist(path):
    for node in iterate_nodes(path):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sagan_tf":
            assert node.attr in sagan_tf.__all__, ast.unparse(node)


@every_notebook
def test_options_and_metrics_exist(path):
    checked = set()
    for node in iterate_nodes(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in OPTIONS:
            name = node.func.attr
            function = getattr(api, name, None) or getattr(Config, name)
            allowed = OPTIONS[name] | set(inspect.signature(function).parameters)
            given = {keyword.arg for keyword in node.keywords if keyword.arg}
            assert given <= allowed, f"{ast.unparse(node.func)}: {given - allowed}"
            checked.add(name)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FAMILIES":
            assert set(ast.literal_eval(node.value)) <= set(METRICS)
    assert {"evaluate", "sample"} < checked


@every_notebook
def test_text_names_options_and_files_that_exist(path):
    text = "\n".join(cell.source for cell in read_notebook(path).cells if cell.cell_type == "markdown")
    options = RUN_OPTIONS.union(*OPTIONS.values())
    assert {name for name in re.findall(r"`--(\w+)", text) if name not in options} == set()
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    assert [link for link in links if not (link.startswith("https://") or (path.parent / link).exists())] == []


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's packages warn of each other
@every_notebook
def test_notebook_runs(path, tmp_path, monkeypatch):
    from nbclient import NotebookClient  # Its warnings would end the collection of the tests.

    notebook = read_notebook(path)
    (parameters,) = (cell for cell in notebook.cells if cell.id == "parameters")
    values = TOY_PARAMETERS[path.stem]
    assert set(values) <= set(find_parameters(parameters))
    parameters.source += "".join(f"\n{name} = {value!r}" for name, value in values.items())
    (tmp_path / "toy.cfg").write_text(TOY_CONFIG)
    for name in ("XDG_CACHE_HOME", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=EXECUTION_SECONDS, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    images = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(images) >= MIN_IMAGES[path.stem]
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "done: 4 steps" in printed and "lower is better" in printed
