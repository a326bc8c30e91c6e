"""The shape of the code: who imports whom, how long things are, that every file has its tests."""

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
DOORS = ("train", "evaluate", "sample", "export")

# A package or module imports from itself and from the layers above it in this list.
LAYERS = (
    ("errors",),
    ("environment", "text"),
    ("files", "keras_backend", "progress", "random_numbers", "tensorflow_paths"),
    ("class_labels", "saved_models"),
    ("config",),
    ("augmentation", "data", "layers", "losses", "schedules", "visualization"),
    ("networks", "regularization", "serving"),
    ("distribution",),
    ("runs",),
    ("generation",),
    ("features",),
    ("training", "evaluation", "sampling", "exporting"),
    ("train", "evaluate", "sample", "export"),
)
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# The command line imports from these layers and is imported by commands only.
COMMAND_LINE = "cli"
COMMAND_LINE_IMPORTS = ("errors", "environment", "text", "files", "progress", "config")
COMMANDS = ("train.py", "evaluate.py", "sample.py", "export.py", "serving/client.py")
# What imports no TensorFlow, directly or through other modules.
WITHOUT_TENSORFLOW = ("errors", "text", "files", "progress", "class_labels", "config", "cli", "serving")

# Third parties with one door each: module -> the only files (or folders) that import it.
ONE_DOOR = {
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
    "tensorflow_hub": ("sagan_tf/features/tf_gan.py",),
}
FORBIDDEN_IMPORTS = ("pickle", "cPickle", "dill", "cloudpickle")

LONGEST_FILE = 300
LONGEST_FUNCTION = 60

# Source files without a test file of the same name, each with the reason.
TESTED_ELSEWHERE = {
    "sagan_tf/errors.py": "exceptions without code; every test of a user's mistake uses them",
    "sagan_tf/training/discriminator_outputs.py": "tests/training/test_steps.py calls each of them",
    "sagan_tf/config/flagfile.py": "tests/cli/test_flags.py and tests/faults/test_untrusted_flagfiles.py read them",
    "sagan_tf/training/actions/checkpoint.py": "tests/training/test_train.py saves with it",
    "sagan_tf/training/actions/schedule.py": "tests/training/test_loop.py schedules actions",
    **{
        f"sagan_tf/config/{name}.py": "tests/config/test_config.py has a wrong value for every check"
        for name in ("data", "evaluation", "model", "regularization", "training")
    },
    **{
        f"sagan_tf/config/dependent_options/{name}.py": "tests/config/test_dependent_options.py tries every row"
        for name in ("client", "common", "dependency", "evaluate", "export", "prepare_imagenet", "sample", "train")
    },
    "sagan_tf/keras_backend.py": "tests/environment/test_keras_settings.py imports its users under another backend",
    "sagan_tf/config/option.py": "tests/config/test_config.py has a wrong value for every check",
    "sagan_tf/networks/blocks.py": "bases without a call of their own; the blocks made from them are tested",
    "sagan_tf/evaluation/result.py": "tests/evaluation/test_evaluator.py judges what it holds",
    "sagan_tf/evaluation/settings.py": "tests/evaluation/test_evaluate.py has a value for every source of a setting",
    "sagan_tf/evaluation/record_outputs.py": "tests/evaluation/test_evaluate.py writes to each of them",
    "sagan_tf/evaluate.py": "tests/evaluation/test_evaluate.py opens this door as a user does",
    "sagan_tf/export.py": "tests/exporting/test_export.py opens this door as a user does",
    "sagan_tf/sample.py": "tests/sampling/test_sample.py opens this door as a user does",
    "sagan_tf/training/actions/preemption.py": "tests/faults/test_several_workers.py stops several workers by it",
    "sagan_tf/train.py": "tests/test_end_to_end.py opens this door as a user does",
    "tools/train_fashion_mnist_classifier.py": "tests/features/test_fashion_mnist_classifier.py judges what it makes",
    "tools/tf_gan.py": "tests/parity runs TF-GAN with it",
    "tools/make_efficientnet_lite0.py": "tests/features/test_efficientnet_lite0.py makes the packaged file again",
    "tools/make_fashion_mnist_10k.py": "tests/data/sources/test_packaged.py makes the packaged file again",
    "tools/preparation/fashion_mnist.py": "tests/tools/test_prepare_fashion_mnist.py reads such files with it",
    "tools/preparation/record_set.py": "tests/tools/test_prepare_imagenet.py writes record sets with it",
    **{
        f"tools/lowering/{name}.py": "tests/tools/test_lower_training.py lowers, runs and collects with it"
        for name in ("collection", "inputs", "program", "storage", "variables")
    },
    "tools/gpu_checking/environment_worker.py": "tests/tools/gpu_checking/test_worker.py starts every worker",
    **{
        f"tools/gpu_checking/{name}.py": "tests/tools/gpu_checking/test_check.py has an answer for every part"
        for name in ("ask", "timing")
    },
    **{
        f"tools/gpu_checking/{name}.py": "tests/tools/test_gpu_check.py runs it"
        for name in ("decoding_worker", "steps_worker")
    },
    "tools/gpu_checking/options.py": "tests/tools/gpu_checking/test_check.py has a wrong value for every check",
    "tools/benchmarks/attention_worker.py": "tests/tools/test_benchmark_attention.py runs it",
    "tools/benchmarks/evaluation.py": "tests/tools/test_benchmark_processes.py runs it",
    "tools/benchmarks/evaluation_worker.py": "tests/tools/test_benchmark_processes.py runs it",
    "tools/benchmarks/image_files.py": "tests/tools/test_benchmark_processes.py runs it",
    "tools/benchmarks/image_files_worker.py": "tests/tools/test_benchmark_processes.py runs it",
    "tools/benchmarks/matrix_product_worker.py": "tests/tools/test_benchmark_processes.py runs it",
    "tools/benchmarks/pipeline_data.py": "tests/tools/test_benchmark_pipeline.py makes its data",
    "tools/benchmarks/pipeline_worker.py": "tests/tools/test_benchmark_pipeline.py runs it",
    "tools/benchmarks/quality_cells.py": "tests/tools/test_benchmark_quality.py",
    "tools/benchmarks/quality_results.py": "tests/tools/test_benchmark_quality.py",
    "tools/benchmarks/sampling.py": "tests/tools/test_benchmark.py",
    "tools/benchmarks/sampling_worker.py": "tests/tools/test_benchmark_processes.py runs it",
    "tools/benchmarks/startup.py": "tests/tools/test_benchmark.py",
    "tools/benchmarks/tf_gan_peer.py": "tests/tools/test_benchmark_processes.py runs it",
    "tools/benchmarks/train_step.py": "tests/tools/test_benchmark.py",
    "tools/benchmarks/train_step_worker.py": "tests/tools/test_benchmark_processes.py runs it",
    "sagan_tf/__init__.py": "test_the_package_loads_its_parts_when_they_are_used, below",
}

every_library_file = pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
every_source_file = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def imports(tree: ast.AST, package: str = "") -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that `tree` imports; relative imports are taken from `package`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            # By way of importlib; a name that is not written out stays unseen.
            yield from ((node.lineno, str(name.value)) for name in node.args[:1] if isinstance(name, ast.Constant))


def imports_of(path: pathlib.Path) -> list[tuple[int, str]]:
    package = ".".join(path.relative_to(ROOT).parent.parts)
    return list(imports(ast.parse(path.read_text()), package))


def is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def unit_of(path: pathlib.Path) -> str:
    """The subpackage or module of sagan_tf that `path` belongs to; empty for sagan_tf/__init__.py."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def may_import(path: str, unit: str, imported: str) -> bool:
    """Whether the file at `path` in `unit` may import `imported`; both are subpackages or modules of sagan_tf."""
    if unit == imported:
        return True
    if unit == COMMAND_LINE:
        return imported in COMMAND_LINE_IMPORTS
    if imported == COMMAND_LINE:
        return path in COMMANDS
    return RANKS[imported] < RANKS[unit]


def imported_at_start(name: str) -> set[str]:
    """The modules that importing the module `name` of sagan_tf imports, directly or not, as dotted names."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        module = waiting.pop()
        path = ROOT / f"{module.replace('.', '/')}.py"
        path = path if path.exists() else ROOT / module.replace(".", "/") / "__init__.py"
        if module in found or not path.exists():
            found.add(module)
            continue
        found.add(module)
        top_level = ast.Module(
            [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)], []
        )
        for _, imported in imports(top_level):
            parts = imported.split(".")
            waiting += [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return found


def longest_functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(name, lines without its docstring) of every function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            first = node.body[0]
            if ast.get_docstring(node) is not None:
                lines -= (first.end_lineno or first.lineno) - first.lineno + 1
            yield node.name, lines


def test_rule_of_import_direction() -> None:
    allowed = [("training", "networks"), ("layers", "layers"), ("evaluation", "features"), ("cli", "config")]
    allowed += [("exporting", "serving"), ("config", "errors"), ("train", "training"), ("train", "evaluation")]
    forbidden = [("training", "evaluation"), ("evaluation", "training"), ("layers", "losses"), ("training", "cli")]
    forbidden += [("data", "train"), ("networks", "training"), ("train", "evaluate"), ("errors", "config")]
    assert [pair for pair in allowed if not may_import("", *pair)] == []
    assert [pair for pair in forbidden if may_import("", *pair)] == []
    assert may_import("train.py", "train", "cli") and not may_import("networks/generator.py", "networks", "cli")


@every_library_file
def test_imports_point_downwards(path: pathlib.Path) -> None:
    unit = unit_of(path)
    known = {*RANKS, COMMAND_LINE}
    assert unit in known or not unit, f"{unit} has no layer"
    for line, name in imports_of(path):
        if is_within(name, "sagan_tf"):
            imported = (name.split(".") + [""])[1]
            if imported in ("", "__version__"):
                continue
            assert imported in known, f"{path}:{line} imports {name}, which has no layer"
            relative = path.relative_to(PACKAGE).as_posix()
            assert unit and may_import(relative, unit, imported), f"{path}:{line} imports {name}"


@every_library_file
def test_parts_that_import_no_tensorflow(path: pathlib.Path) -> None:
    if unit_of(path) in WITHOUT_TENSORFLOW:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        loaded = sorted(name for name in imported_at_start(module) if name in ("tensorflow", "keras"))
        assert not loaded, f"{path} imports {loaded}"


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_third_parties_have_one_door(path: pathlib.Path) -> None:
    relative = str(path.relative_to(ROOT))
    for line, name in imports_of(path):
        for module, doors in ONE_DOOR.items():
            is_library = relative.startswith("sagan_tf/")
            is_door = any(path.is_relative_to(ROOT / door) for door in doors)
            assert not is_within(name, module) or not is_library or is_door, f"{path}:{line} imports {name}"
        assert not any(is_within(name, module) for module in FORBIDDEN_IMPORTS), f"{path}:{line} imports {name}"


@every_library_file
def test_no_assert_and_no_print_in_the_library(path: pathlib.Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Assert), f"{path}:{node.lineno}: assert: raise an error that says what is wrong"
        is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        assert not is_print or unit_of(path) in DOORS, f"{path}:{node.lineno}: print"


@every_source_file
def test_text_files_are_read_in_one_place(path: pathlib.Path) -> None:
    # Python's own way keeps a byte order mark, as an editor may write it.
    for node in ast.walk(ast.parse(path.read_text())):
        is_method = isinstance(node, ast.Attribute) and node.attr == "read_text"
        assert not is_method, f"{path}:{node.lineno}: use sagan_tf.text.read_text"


@every_source_file
def test_files_and_functions_are_short(path: pathlib.Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE, f"{path} has more than {LONGEST_FILE} lines"
    too_long = [one for one in longest_functions(ast.parse(text)) if one[1] > LONGEST_FUNCTION]
    assert too_long == [], f"{path}: functions of more than {LONGEST_FUNCTION} lines"


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_left_for_later(path: pathlib.Path) -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "X" * 3)
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        assert not any(mark in line for mark in marks), f"{path}:{number}: {line.strip()}"


@every_library_file
def test_every_file_begins_with_its_docstring(path: pathlib.Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


def mirror(path: pathlib.Path) -> pathlib.Path:
    """The test file of a source file: tests/ has the folders of sagan_tf/, tools/ is tested in tests/tools/."""
    folder = path.relative_to(ROOT).parent
    if folder.as_posix() == "tools/benchmarks":
        return ROOT / "tests" / "tools" / f"test_benchmark_{path.name}"
    folder = path.relative_to(PACKAGE).parent if folder.parts[0] == "sagan_tf" else folder
    return ROOT / "tests" / folder / f"test_{path.name}"


def has_code(path: pathlib.Path) -> bool:
    """Whether a file defines anything: the __init__ of a subpackage only names what it offers."""
    nodes = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, nodes) for node in ast.walk(ast.parse(path.read_text())))


@every_source_file
def test_every_file_has_its_tests(path: pathlib.Path) -> None:
    relative = str(path.relative_to(ROOT))
    if path.name == "__init__.py" and not has_code(path):
        return
    tested = mirror(path).exists()
    assert tested != (relative in TESTED_ELSEWHERE), f"{relative}: expected {mirror(path).relative_to(ROOT)}"


def test_the_package_loads_its_parts_when_they_are_used() -> None:
    program = (
        "import sys, sagan_tf\n"
        "assert not any(name.startswith('sagan_tf.') or name == 'tensorflow' for name in sys.modules)\n"
        "assert sagan_tf.config.Config().model.resolution == 128\n"
        "assert all(hasattr(sagan_tf, name) for name in sagan_tf.__all__)\n"
        "assert 'networks' in dir(sagan_tf) and not hasattr(sagan_tf, 'network')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_the_list_of_exceptions_names_files_that_are_there() -> None:
    assert [name for name in TESTED_ELSEWHERE if not (ROOT / name).exists()] == []


def test_the_readme_is_finished_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not re.findall(r"@[A-Z_]+@", text)
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (ROOT / link).exists(), link
