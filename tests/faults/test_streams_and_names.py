"""Tests of commands with file names that are not UTF-8 and with closed or unread standard streams."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from sagan_tf.cli.flags import parse_config
from sagan_tf.evaluation.reference import load_reference
from sagan_tf.runs.run_directory import RunDirectory
from tests import commands
from tests.data.sample_folders import build_class_directories
from tests.faults.processes import ROOT, SMALL
from tools import import_tfgan_checkpoint, prepare_imagenet
from tools.reporting.page import format_page

NAME = os.fsdecode(b"caf\xe9")
CLASSES = ("cat", os.fsdecode(b"\xe9t\xe9"))
STEPS = ("--num_steps=2", "--steps_per_loop=1", "--log_every=1", "--sample_every=1", "--checkpoint_every=1")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file names with arbitrary bytes")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a directory of images, where the names of the directory and of the classes are not UTF-8."""
    directory = tmp_path_factory.mktemp("names") / NAME
    build_class_directories(directory / "images", CLASSES)
    return directory


@pytest.fixture(scope="module")
def run_dir(place: pathlib.Path) -> pathlib.Path:
    """Return a run on these images with a closed standard error and a standard output that is read only partly."""
    directory = place.parent / "run"
    flags = [*SMALL, *STEPS, "--dataset=folder", f"--data_dir={place / 'images'}", f"--run_dir={directory}"]
    script = '{ "$@" 2>&-; echo $? >"$0"; } | head -1'
    command = ["sh", "-c", script, f"{directory}.status", sys.executable, "-m", "sagan_tf.train", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=400)
    assert (pathlib.Path(f"{directory}.status").read_text(), done.stderr) == ("0\n", b"")
    assert len(done.stdout.splitlines()) == 1 and rb"caf\udce9" in done.stdout
    return directory


def test_run_is_complete_and_records_the_names(place, run_dir):
    assert (run_dir / "checkpoints" / "step-2.index").is_file()
    assert os.fsencode(place / "images") in (run_dir / "flags.cfg").read_bytes()
    assert parse_config([f"--flagfile={run_dir / 'flags.cfg'}"]).data.data_dir == str(place / "images")
    assert tuple(json.loads((run_dir / "startup.json").read_text())["data"]["label_histogram"]) == CLASSES


@pytest.mark.slow
def test_commands_accept_the_names(place, run_dir, tmp_path, capfd):
    out = place / "out"
    run, images = f"--run_dir={run_dir}", place / "images"
    measured = ("--extractor=fashion_mnist", "--metrics=fcd", "--num_samples=100", f"--reference_dir={out}")
    prepared = ("--dataset=folder", "--resolution=32", "--format=png", "--num_workers=1", f"--output={tmp_path}")
    flagfile = place / "run.cfg"
    flagfile.write_bytes((run_dir / "flags.cfg").read_bytes())
    assert commands.train([f"--flagfile={flagfile}", "--num_steps=3"]) == 0
    assert commands.sample([run, "--mode=grid", f"--labels={CLASSES[1]}", f"--output={out / 'grid.png'}"]) == 0
    assert commands.evaluate([run, *measured, f"--output={out / 'record.json'}"]) == 0
    assert commands.export([run, f"--data_license={NAME}"]) == 0
    assert prepare_imagenet.run([*prepared, f"--data_dir={images}"]) == 0
    page = format_page(RunDirectory(run_dir))
    assert "Logging error" not in "".join(capfd.readouterr())
    (reference,) = out.glob("*.npz")
    assert load_reference(reference).provenance.class_names == CLASSES
    (card,) = run_dir.glob("exports/*/model_card.json")
    assert tuple(json.loads(card.read_text())["class_names"]) == CLASSES
    assert r"\udce9t\udce9" in page and page.encode("utf-8")


@pytest.mark.parametrize(
    ("command", "arguments", "option"),
    [
        (commands.train, (*SMALL, "--run_dir=PLACE/new"), "run_dir"),
        (commands.train, (*SMALL, "--dataset=tfrecord", "--data_dir=PLACE/new", "--run_dir=NEW"), "data_dir"),
        (commands.evaluate, ("--images=PLACE/images", "--extractor=PLACE"), "extractor"),
        (
            commands.evaluate,
            ("--images=PLACE/images", "--inception_dir=PLACE", "--extractor=inception"),
            "inception_dir",
        ),
        (commands.sample, ("--saved_model=PLACE", "--mode=grid", "--output=NEW.png"), "saved_model"),
        (commands.export, ("--run_dir=RUN", "--output=PLACE/new"), "output"),
        (prepare_imagenet.run, ("--dataset=folder", "--data_dir=PLACE/images", "--output=PLACE/new"), "output"),
        (import_tfgan_checkpoint.run, ("--checkpoint=PLACE/model", "--run_dir=NEW"), "checkpoint"),
    ],
)
def test_path_that_tensorflow_cannot_open_is_an_error_of_one_line(place, run_dir, command, arguments, option, capfd):
    before = set(os.listdir(place)), set(os.listdir(place.parent))
    words = {"PLACE": place, "RUN": run_dir, "NEW": place.parent / "new"}
    for word, path in words.items():
        arguments = [argument.replace(word, str(path)) for argument in arguments]
    try:
        status = command(arguments)
    except SystemExit as end:
        status = end.code
    (line,) = capfd.readouterr().err.splitlines()
    assert status == 2 and f"error: {option}: " in line and r"caf\udce9" in line
    assert (set(os.listdir(place)), set(os.listdir(place.parent))) == before
