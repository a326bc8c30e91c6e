"""Tests that every command reports an unwritable output in one line before any work, and leaves no files."""

import importlib
import sys

import pytest

from tests.faults.outcomes import list_files
from tests.faults.processes import SMALL
from tests.faults.short_run import FLAGS

NOWHERE = "--run_dir=nowhere"
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
    "lay_out_classes": ("tools.lay_out_classes", ["--source=nowhere", "--output=PLACE"]),
    "prepare_imagenet": ("tools.prepare_imagenet", ["--dataset=nowhere", "--output=PLACE"]),
    "import": ("tools.import_tfgan_checkpoint", ["--checkpoint=nowhere", "--run_dir=PLACE"]),
    "load_generator": ("tools.serving.load_generator", ["--server=localhost:1", "--json=PLACE"]),
    "classifier": ("tools.train_fashion_mnist_classifier", ["--batch_size=20000", "--output=PLACE"]),
    "packaged weights": ("tools.make_efficientnet_lite0", ["--source=nowhere", "--output=PLACE"]),
    "packaged data": ("tools.make_fashion_mnist_10k", ["--source=nowhere", "--output=PLACE"]),
}
"""Module and arguments. Other inputs do not exist, so that any work after the check would fail in another way."""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["/proc/nowhere/a", "file/a"])
def test_unwritable_output_is_an_error_before_any_work(command, place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("unchanged")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "flags.cfg").write_text("--no_such_flag=1\n")
    name, arguments = COMMANDS[command]
    arguments = [argument.replace("PLACE", place) for argument in arguments]
    module = importlib.import_module(name)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    try:
        status = module.run()
    except SystemExit as ended:
        status = ended.code
    line = capsys.readouterr().err
    assert status == 2 and line.count("\n") == 1
    option, _, value = arguments[-1].removeprefix("--").partition("=")
    assert f"{option}: " in line and value in line and "Traceback" not in line
    assert list_files(tmp_path) == ["file", "run", "run/flags.cfg"] and (tmp_path / "file").read_text() == "unchanged"
