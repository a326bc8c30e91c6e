"""Tests that every command reports a path that it cannot use in one line before any work, and leaves no files."""

import importlib
import pathlib
import sys
from collections.abc import Iterator

import pytest

from tests.faults.outcomes import list_files
from tests.faults.processes import SMALL
from tests.faults.short_run import FLAGS

NOWHERE = "--run_dir=nowhere"
TOO_LONG = "x" * 300
COMMANDS: dict[str, tuple[str, list[str]]] = {
    "train": ("sagan_tf.train", [*SMALL, *FLAGS, "--evaluate_every=1", "--reference=nowhere:test", "--run_dir=PLACE"]),
    "evaluate images": ("sagan_tf.evaluate", ["--images=nowhere", "--output=PLACE.json"]),
    "sample grid": ("sagan_tf.sample", [NOWHERE, "--output=PLACE.png"]),
    "sample nearest": ("sagan_tf.sample", [NOWHERE, "--mode=nearest", "--output=PLACE.png"]),
    "sample page": ("sagan_tf.sample", [NOWHERE, "--mode=attention", "--output=PLACE.html"]),
    "sample archive": ("sagan_tf.sample", [NOWHERE, "--mode=images", "--output=PLACE.npz"]),
    "sample images": ("sagan_tf.sample", [NOWHERE, "--mode=images", "--output=PLACE"]),
    "export": ("sagan_tf.export", ["--run_dir=run", "--output=PLACE"]),
    "client sheet": ("sagan_tf.serving.client", ["--server=localhost:1", "--output=PLACE.png"]),
    "client images": ("sagan_tf.serving.client", ["--server=localhost:1", "--output=PLACE"]),
    "report": ("tools.report", ["--run_dir=run", "--output=PLACE.html"]),
    "benchmark": ("tools.benchmark", ["image_files", "--run_dir=nowhere", "--json=PLACE"]),
    "ablation": ("tools.ablation", ["--study=stabilization", "--data_dir=nowhere", "--run_dir=PLACE"]),
    "lay_out_classes": ("tools.lay_out_classes", ["--source=nowhere", "--output=PLACE"]),
    "lay_out_emoji": ("tools.lay_out_emoji", ["--source=nowhere", "--output=PLACE"]),
    "prepare_imagenet": ("tools.prepare_imagenet", ["--dataset=nowhere", "--output=PLACE"]),
    "import": ("tools.import_tfgan_checkpoint", ["--checkpoint=nowhere", "--run_dir=PLACE"]),
    "load_generator": ("tools.serving.load_generator", ["--server=localhost:1", "--json=PLACE"]),
    "classifier": ("tools.train_fashion_mnist_classifier", ["--batch_size=20000", "--output=PLACE"]),
    "packaged weights": ("tools.make_efficientnet_lite0", ["--source=nowhere", "--output=PLACE"]),
    "packaged data": ("tools.make_fashion_mnist_10k", ["--source=nowhere", "--output=PLACE"]),
}
"""Module and arguments. Other inputs do not exist, so that any work after the check would fail in another way."""
INPUTS: dict[str, tuple[str, list[str]]] = {
    "train data": ("sagan_tf.train", ["--dataset=folder", "--data_dir=PLACE", "--run_dir=new"]),
    "evaluate": ("sagan_tf.evaluate", ["--run_dir=PLACE"]),
    "sample": ("sagan_tf.sample", ["--output=new.png", "--run_dir=PLACE"]),
    "sample export": ("sagan_tf.sample", ["--output=new.png", "--saved_model=PLACE"]),
    "report run": ("tools.report", ["--run_dir=PLACE"]),
    "benchmark settings": ("tools.benchmark", ["quality", "--steps=1", "--run_dir=new", "--settings=PLACE"]),
    "ablation": ("tools.ablation", ["--run_dir=new", "--study=PLACE"]),
    "classes": ("tools.lay_out_classes", ["--output=new", "--source=PLACE"]),
    "emoji": ("tools.lay_out_emoji", ["--output=new", "--source=PLACE"]),
    "imagenet": ("tools.prepare_imagenet", ["--dataset=folder", "--output=new", "--data_dir=PLACE"]),
    "fashion_mnist": ("tools.prepare_fashion_mnist", ["--output=new", "--source=PLACE"]),
    "fashion_mnist_10k": ("tools.make_fashion_mnist_10k", ["--output=new", "--source=PLACE"]),
    "weights": ("tools.make_efficientnet_lite0", ["--output=new", "--source=PLACE"]),
    "import checkpoint": ("tools.import_tfgan_checkpoint", ["--run_dir=new", "--checkpoint=PLACE"]),
    "model card": ("tools.serving.load_generator", ["--server=localhost:1", "--model_card=PLACE"]),
    "lowered": ("tools.lower_training", ["collect", "PLACE"]),
    "gpu_check": ("tools.gpu_check", ["--json=new", "--flagfile=PLACE"]),
    "scaling": ("tools.scaling", ["--flagfile=PLACE"]),
}
"""Module and arguments, of which the last names an input."""


def run(command: tuple[str, list[str]], place: str, monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    """Run a command with a path, and return its exit status."""
    name, arguments = command
    module = importlib.import_module(name)
    monkeypatch.setattr(sys, "argv", [name, *(argument.replace("PLACE", place) for argument in arguments)])
    try:
        return module.run()
    except SystemExit as ended:
        return ended.code


@pytest.fixture(autouse=True)
def directory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Change to a directory with a file and a run, which must be left unchanged."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("unchanged")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "flags.cfg").write_text("--no_such_flag=1\n")
    yield
    assert list_files(tmp_path) == ["file", "run", "run/flags.cfg"] and (tmp_path / "file").read_text() == "unchanged"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["/proc/nowhere/a", "file/a"])
def test_unwritable_output_is_an_error_before_any_work(command, place, monkeypatch, capsys):
    assert run(COMMANDS[command], place, monkeypatch) == 2
    line = capsys.readouterr().err
    option, _, value = COMMANDS[command][1][-1].removeprefix("--").partition("=")
    assert line.count("\n") == 1 and "Traceback" not in line
    assert f"{option}: " in line and value.replace("PLACE", place) in line


@pytest.mark.parametrize("command", [*COMMANDS, *INPUTS])
def test_a_path_that_is_too_long_is_an_error_in_one_line(command, monkeypatch, capsys):
    assert run((COMMANDS | INPUTS)[command], TOO_LONG, monkeypatch) == 2
    *usage, line = capsys.readouterr().err.splitlines()
    assert all(text.startswith("usage: ") for text in usage)
    assert " error: " in line and TOO_LONG in line
