"""Tests of the structure of the code: import direction, lengths of files and functions."""

import ast
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "sagan_tf"
LIBRARY = sorted(PACKAGE.rglob("*.py"))
SOURCES = LIBRARY + sorted((ROOT / "tools").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# A package or module imports only from itself and from earlier layers of this list.
LAYERS = (
    ("errors",),
    ("disk_sync", "environment", "text"),
    ("files", "keras_backend", "log", "progress", "random_numbers", "tensorflow_paths"),
    ("class_labels", "saved_models"),
    ("config",),
    ("augmentation", "data", "layers", "losses", "schedules", "visualization"),
    ("networks", "regularization", "serving"),
    ("distribution",),
    ("runs",),
    ("generation",),
    ("features",),
    ("training", "evaluation", "sampling", "exporting"),
    ("api", "train", "evaluate", "sample", "export"),
)
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# The command line imports only from these packages and modules, and only commands import it.
COMMAND_LINE = "cli"
COMMAND_LINE_IMPORTS = ("errors", "disk_sync", "environment", "text", "files", "log", "progress", "config")
COMMANDS = ("train.py", "evaluate.py", "sample.py", "export.py", "serving/client.py")
# These packages and modules do not import TensorFlow, neither directly nor through other modules.
WITHOUT_TENSORFLOW = (
    "errors",
    "disk_sync",
    "text",
    "files",
    "log",
    "progress",
    "class_labels",
    "config",
    "cli",
    "serving",
)

# Third-party modules that only the given files or directories may import.
RESTRICTED_IMPORTS = {
    "keras": (
        "sagan_tf/keras_backend.py",
        "sagan_tf/environment/keras_settings.py",
        "sagan_tf/layers",
        "sagan_tf/networks",
    ),
    "tensorboard": ("sagan_tf/training/actions/tensorboard.py",),
    "absl.flags": ("sagan_tf/cli/flags.py",),
    "tensorflow_gan": ("sagan_tf/features/tf_gan.py",),
    "ai_edge_litert": ("sagan_tf/exporting/tflite.py",),
    "kubernetes": ("sagan_tf/distribution/cluster_kubernetes.py",),
    "grpc": ("sagan_tf/serving/grpc_transport.py",),
    "google.protobuf": ("sagan_tf/serving/messages.py",),
    "requests": ("sagan_tf/serving/http_requests.py",),
    "urllib3": ("sagan_tf/serving/http_requests.py", "sagan_tf/distribution/cluster_kubernetes.py"),
    "tensorflow_hub": ("sagan_tf/features/tf_gan.py",),
    "matplotlib": (
        "sagan_tf/visualization/dot_chart.py",
        "sagan_tf/visualization/line_chart.py",
        "sagan_tf/visualization/panel_chart.py",
        "sagan_tf/visualization/svg_figure.py",
    ),
    "jinja2": ("sagan_tf/visualization/html_page.py",),
}

MAX_FILE_LINES = 250
MAX_FUNCTION_LINES = 40

every_library_file = pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
every_source_file = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def find_imports(tree: ast.AST, package: str = "") -> Iterator[tuple[int, str]]:
    """Yield the line and the dotted name of every import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            # This is an import with importlib. A name that is not a constant is not found.
            yield from ((node.lineno, str(name.value)) for name in node.args[:1] if isinstance(name, ast.Constant))


def find_imports_in_file(path: pathlib.Path) -> list[tuple[int, str]]:
    package = ".".join(path.relative_to(ROOT).parent.parts)
    return list(find_imports(ast.parse(path.read_text()), package))


def is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def find_unit(path: pathlib.Path) -> str:
    """Return the subpackage or module of sagan_tf that contains a file; empty for sagan_tf/__init__.py."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def may_import(path: str, unit: str, imported: str) -> bool:
    """Return whether a file may import a subpackage or module of sagan_tf."""
    if unit == imported:
        return True
    if unit == COMMAND_LINE:
        return imported in COMMAND_LINE_IMPORTS
    if imported == COMMAND_LINE:
        return path in COMMANDS
    return RANKS[imported] < RANKS[unit]


def find_modules_imported_by(name: str) -> set[str]:
    """Return the dotted names of all modules that the import of a module imports, directly or indirectly."""
    found: set[str] = set()
    pending = [name]
    while pending:
        module = pending.pop()
        path = ROOT / f"{module.replace('.', '/')}.py"
        path = path if path.exists() else ROOT / module.replace(".", "/") / "__init__.py"
        if module in found or not path.exists():
            found.add(module)
            continue
        found.add(module)
        top_level = ast.Module(
            [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)], []
        )
        for _, imported in find_imports(top_level):
            parts = imported.split(".")
            pending += [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return found


def measure_functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the name and the number of lines, without the docstring, of every function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            first = node.body[0]
            if ast.get_docstring(node) is not None:
                lines -= (first.end_lineno or first.lineno) - first.lineno + 1
            yield node.name, lines


def test_examples_of_the_import_rules():
    allowed = "training networks, layers layers, cli config, exporting serving, config errors, train training"
    forbidden = "training evaluation, layers losses, networks training, train evaluate, errors config, cli training"
    assert all(may_import("", *pair.split()) for pair in allowed.split(", "))
    assert not any(may_import("", *pair.split()) for pair in forbidden.split(", "))
    assert may_import("train.py", "train", "cli") and not may_import("networks/generator.py", "networks", "cli")


@every_library_file
def test_imports_follow_the_layers(path):
    unit = find_unit(path)
    known = {*RANKS, COMMAND_LINE}
    assert unit in known or not unit, f"{unit} has no layer"
    for line, name in find_imports_in_file(path):
        if is_within(name, "sagan_tf"):
            imported = [*name.split("."), ""][1]
            if imported in ("", "__version__"):
                continue
            assert imported in known, f"{path}:{line} imports {name}, which has no layer"
            relative = path.relative_to(PACKAGE).as_posix()
            is_allowed = may_import(relative, unit, imported) if unit else imported == "api"
            assert is_allowed, f"{path}:{line} imports {name}"


@every_library_file
def test_modules_without_tensorflow(path):
    if find_unit(path) in WITHOUT_TENSORFLOW:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        loaded = sorted(name for name in find_modules_imported_by(module) if name in ("tensorflow", "keras"))
        assert not loaded, f"{path} imports {loaded}"


@every_library_file
def test_third_party_modules_are_imported_in_one_place(path):
    for line, name in find_imports_in_file(path):
        for module, importers in RESTRICTED_IMPORTS.items():
            is_importer = any(path.is_relative_to(ROOT / importer) for importer in importers)
            assert is_importer or not is_within(name, module), f"{path}:{line} imports {name}"


@every_source_file
def test_text_files_are_read_in_one_place(path):
    # Path.read_text keeps a byte order mark, which an editor may write.
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            assert node.attr != "read_text", f"{path}:{node.lineno}: use sagan_tf.text.read_text"


@every_source_file
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_FILE_LINES, f"{path} has more than {MAX_FILE_LINES} lines"
    too_long = [(name, lines) for name, lines in measure_functions(ast.parse(text)) if lines > MAX_FUNCTION_LINES]
    assert too_long == [], f"{path}: functions of more than {MAX_FUNCTION_LINES} lines"


def test_no_unfinished_work_is_marked():
    marks = ("TO" + "DO", "FIX" + "ME", "X" * 3)
    assert [path for path in SOURCES + TESTS if any(mark in path.read_text() for mark in marks)] == []


def test_package_loads_its_modules_when_they_are_used():
    """The import changes nothing and loads no TensorFlow."""
    program = (
        "import logging, os, sys, warnings\n"
        "before = dict(os.environ), list(warnings.filters), list(logging.getLogger().handlers)\n"
        "import sagan_tf\n"
        "assert not any(name.startswith('sagan_tf.') for name in sys.modules)\n"
        "assert sagan_tf.config.Config().model.resolution == 128\n"
        "assert all(hasattr(sagan_tf, name) for name in sagan_tf.__all__)\n"
        "assert 'networks' in dir(sagan_tf) and not hasattr(sagan_tf, 'network')\n"
        "assert 'tensorflow' not in sys.modules\n"
        "assert before == (dict(os.environ), list(warnings.filters), list(logging.getLogger().handlers))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_readme_has_no_placeholders_and_its_links_are_valid():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not re.findall(r"@[A-Z_]+@", text)
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (ROOT / link).exists(), link
